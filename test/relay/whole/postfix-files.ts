// Postfix as on a chatmail relay: submission with logins of Dovecot's, port 25, both before the filter; two services that take back
// what has passed; all that leaves goes to the filter's transport by LMTP.

import type { Files } from './host.ts';

export const certificate = { cert: '/etc/ssl/relay/cert.pem', key: '/etc/ssl/relay/key.pem' } as const;
export const maillog = '/var/log/mail.log';

export function postfixFiles(domain: string): Files {
  return {
    '/etc/postfix/main.cf': main(domain),
    '/etc/postfix/master.cf': master,
    // Who is logged in sends as himself.
    '/etc/postfix/login_map': '/^(.*)$/ $1\n',
    '/etc/postfix/submission_header_cleanup': [
      ...['Received', 'X-Originating-IP', 'X-Mailer', 'User-Agent'].map(name => `/^${name}:/ IGNORE`),
      '/^Subject:/ REPLACE Subject: [...]\n',
    ].join('\n'),
    '/etc/postfix/lmtp_header_cleanup': [...kept.map(name => `/^${name}:/ DUNNO`), '/.*/ IGNORE\n'].join('\n'),
  };
}

const kept = [
  // chatmail takes these two away as well; cores of the first series do not find themselves without.
  ...['To', 'Cc'],
  ...['From', 'Message-Id', 'Chat-Is-Post-Message', 'Content-Type', 'Subject', 'Date', 'Autocrypt', 'Secure-Join'],
  ...['Invitenumber', 'Auth', 'Fingerprint', 'Group'].map(name => `Secure-Join-${name}`),
];

function main(domain: string): string {
  return `
compatibility_level = 3.6
myhostname = ${domain}
myorigin = ${domain}
mydestination =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
inet_interfaces = all
inet_protocols = all
alias_maps =
append_dot_mydomain = no
biff = no
recipient_delimiter = +
mailbox_size_limit = 0
message_size_limit = 31457280
maillog_file = ${maillog}

smtpd_tls_cert_file = ${certificate.cert}
smtpd_tls_key_file = ${certificate.key}
smtpd_tls_security_level = may
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
smtpd_sender_login_maps = regexp:/etc/postfix/login_map
mua_client_restrictions = permit_sasl_authenticated, reject
mua_sender_restrictions = reject_sender_login_mismatch, permit_sasl_authenticated, reject
mua_helo_restrictions = permit_mynetworks, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, permit

virtual_mailbox_domains = ${domain}
virtual_transport = lmtp:unix:private/dovecot-lmtp
lmtp_header_checks = regexp:/etc/postfix/lmtp_header_cleanup

default_transport = lmtp-filtermail:inet:[127.0.0.1]:10083
lmtp-filtermail_initial_destination_concurrency = 500
lmtp-filtermail_destination_concurrency_limit = 500

# Bounces are signed too.
non_smtpd_milters = unix:opendkim/opendkim.sock
internal_mail_filter_classes = bounce
milter_macro_daemon_name = ORIGINATING

# Not as on a relay, where it is 300 s: the tests wait for deferred mail.
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
`;
}

const before = `
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path=private/auth
  -o smtpd_tls_security_level=encrypt
  -o smtpd_tls_mandatory_protocols=>=TLSv1.3
  -o smtpd_reject_unlisted_recipient=no
  -o smtpd_client_restrictions=$mua_client_restrictions
  -o smtpd_helo_restrictions=$mua_helo_restrictions
  -o smtpd_sender_restrictions=$mua_sender_restrictions
  -o smtpd_recipient_restrictions=
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_client_connection_count_limit=1000
  -o smtpd_proxy_filter=127.0.0.1:10080`;

const master = `
smtp inet n - y - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_tls_mandatory_protocols=>=TLSv1.2
  -o smtpd_proxy_filter=127.0.0.1:10081
submission inet n - y - 5000 smtpd
  -o syslog_name=postfix/submission${before}
smtps inet n - y - 5000 smtpd
  -o syslog_name=postfix/smtps
  -o smtpd_tls_wrappermode=yes${before}
127.0.0.1:10025 inet n - n - 100 smtpd
  -o syslog_name=postfix/reinject
  -o cleanup_service_name=authclean
  -o smtpd_milters=unix:opendkim/opendkim.sock
127.0.0.1:10026 inet n - n - 100 smtpd
  -o syslog_name=postfix/reinject_incoming
authclean unix n - - - 0 cleanup
  -o header_checks=regexp:/etc/postfix/submission_header_cleanup
lmtp-filtermail unix - - y - 500 lmtp
  -o syslog_name=postfix/lmtp-filtermail
  -o lmtp_header_checks=
  -o lmtp_tls_security_level=none
lmtp unix - - y - - lmtp
pickup unix n - y 60 1 pickup
cleanup unix n - y - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - y 1000? 1 tlsmgr
rewrite unix - - y - - trivial-rewrite
bounce unix - - y - 0 bounce
defer unix - - y - 0 bounce
trace unix - - y - 0 bounce
verify unix - - y - 1 verify
flush unix n - y 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - y - - smtp
relay unix - - y - - smtp
showq unix n - y - - showq
error unix - - y - - error
retry unix - - y - - error
discard unix - - y - - discard
anvil unix - - y - 1 anvil
scache unix - - y - 1 scache
postlog unix-dgram n - n - 1 postlogd
`;
