// Dovecot 2.3 as on a chatmail relay: IMAP for the people, LMTP for Postfix, logins for both, quota. Who has an account, the account
// service knows, over Dovecot's dict protocol.

import type { Files } from './host.ts';
import { certificate } from './postfix-files.ts';

export const accountsSocket = '/run/accounts/dict.sock';

export function dovecotFiles(mailboxes: string): Files {
  return {
    '/etc/dovecot/auth.conf': `
uri = proxy:${accountsSocket}:auth
iterate_disable = yes
default_pass_scheme = plain
password_key = passdb/%Ew"%Eu
user_key = userdb/%Eu
`,
    '/etc/dovecot/dovecot.conf': `
protocols = imap lmtp
log_path = /dev/stderr
auth_mechanisms = plain
auth_username_chars = abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@[]
auth_verbose = yes
passdb {
  driver = dict
  args = /etc/dovecot/auth.conf
}
userdb {
  driver = dict
  args = /etc/dovecot/auth.conf
}
default_client_limit = 20000
imap_capability = +XCHATMAIL
mail_location = maildir:${mailboxes}/%u
mail_uid = vmail
mail_gid = vmail
mail_privileged_group = vmail
mail_plugins = zlib quota
namespace inbox {
  inbox = yes
  mailbox Drafts { 
    special_use = \\Drafts
  }
  mailbox Trash {
    special_use = \\Trash
  }
  mailbox Sent {
    special_use = \\Sent
  }
}
protocol imap {
  mail_plugins = $mail_plugins imap_quota imap_zlib
}
plugin {
  zlib_save = gz
  quota = maildir:User quota
  quota_rule = *:storage=500M
  quota_max_mail_size = 31457280
  quota_grace = 0
}
lmtp_add_received_header = no
service lmtp {
  user = vmail
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    group = postfix
    mode = 0600
    user = postfix
  }
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service auth-worker {
  user = vmail
}
service imap-login {
  service_count = 0
  process_min_avail = 1
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
ssl = required
ssl_cert = <${certificate.cert}
ssl_key = <${certificate.key}
ssl_min_protocol = TLSv1.3
`,
  };
}
