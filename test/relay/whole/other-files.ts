// What stands around Postfix and Dovecot on a chatmail relay: nginx, OpenDKIM, a resolver, and chatmail.ini.

import type { Files } from './host.ts';
import { certificate } from './postfix-files.ts';

export const selector = 'opendkim';

/** Without `client_max_body_size`, as chatmail's was for long: 413 over 1 MB. */
export function nginxFiles(domain: string): Files {
  return {
    '/etc/nginx/nginx.conf': `
user www-data;
daemon off;
worker_processes 2;
pid /run/nginx.pid;
error_log stderr notice;
events { worker_connections 2048; }
http {
  access_log off;
  server_tokens off;
  ssl_certificate ${certificate.cert};
  ssl_certificate_key ${certificate.key};
  ssl_protocols TLSv1.2 TLSv1.3;
  server {
    listen 443 ssl default_server;
    listen [::]:443 ssl default_server;
    server_name ${domain} mta-sts.${domain};
    location /mxdeliv { proxy_pass http://127.0.0.1:10082; }
    location = /.well-known/mta-sts.txt {
      default_type text/plain;
      return 200 "version: STSv1\\nmode: enforce\\nmx: ${domain}\\nmax_age: 2419200\\n";
    }
    location / { return 404; }
  }
}
`,
  };
}

export function opendkimFiles(domain: string, privateKey: string): Files {
  const oversigned = [
    ...['from', 'reply-to', 'subject', 'date', 'to', 'cc', 'in-reply-to', 'references', 'autocrypt'],
    ...['date', 'from', 'sender', 'to', 'cc'].map(name => `resent-${name}`),
    ...['id', 'help', 'unsubscribe', 'subscribe', 'post', 'owner', 'archive'].map(name => `list-${name}`),
  ];
  return {
    [`/etc/dkimkeys/${selector}.private`]: privateKey,
    '/etc/opendkim.conf': `
Syslog no
LogWhy yes
Canonicalization relaxed/simple
Mode sv
Domain ${domain}
Selector ${selector}
KeyFile /etc/dkimkeys/${selector}.private
SignHeaders *,+autocrypt,+content-type
OversignHeaders ${oversigned.join(',')}
UserID opendkim
UMask 007
Socket local:/var/spool/postfix/opendkim/opendkim.sock
PidFile /run/opendkim.pid
MTA ORIGINATING
InternalHosts -
`,
  };
}

/** The resolver knows these records, and of everything else that it does not exist. */
export function unboundFiles(records: readonly string[]): Files {
  return {
    '/etc/resolv.conf': 'nameserver 127.0.0.1\n',
    '/etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
    '/etc/unbound/unbound.conf': `
server:
  interface: 127.0.0.1
  do-daemonize: no
  chroot: ""
  pidfile: ""
  username: unbound
  use-syslog: no
  logfile: ""
  verbosity: 1
  module-config: iterator
  local-zone: "." static
${records.map(record => `  local-data: '${record}'`).join('\n')}
remote-control:
  control-enable: no
`,
  };
}

export function chatmailIni(domain: string, more: Readonly<Record<string, string | number>>): Files {
  const settings = {
    mail_domain: domain,
    max_user_send_per_minute: 60,
    max_user_send_burst_size: 10,
    max_mailbox_size: '500M',
    max_message_size: 31457280,
    delete_mails_after: 20,
    username_min_length: 9,
    username_max_length: 9,
    password_min_length: 9,
    passthrough_senders: '',
    passthrough_recipients: '',
    privacy_postal: '',
    ...more,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  return { '/usr/local/lib/chatmaild/chatmail.ini': `[params]\n${lines.join('')}` };
}
