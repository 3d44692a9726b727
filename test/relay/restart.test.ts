// Postfix goes away and comes back while the filter stays up.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mail, sendOne } from './client.ts';
import { readable, sealed } from './mail.ts';
import { authclean } from './postfix-setup.ts';
import { assertIntact, describeRelay } from './relay.ts';

describeRelay('Postfix stopped and started', {}, relay => {
  function mailOf(from: string, size = 900): Mail {
    return { from, to: ['bob@two.test'], message: sealed({ from, size }) };
  }

  async function passes(mail: Mail): Promise<void> {
    assert.match(await relay().send(mail), /^250 /);
    const [delivery] = await relay().arrived(1);
    assertIntact(delivery, mail.message);
  }

  test('the first mail after a restart passes: a stale connection is replaced silently', async () => {
    await passes(mailOf('first@one.test'));
    const mark = relay().filter.log.mark;
    await relay().postfix.stop();
    await relay().postfix.start();
    await passes(mailOf('second@one.test'));
    await relay().judged(2);
    assert.deepEqual(
      relay()
        .filter.log.since(mark)
        .filter(line => !line.startsWith('INFO ')),
      [],
    );
  });

  test('while it is down 451, and after that it goes through again at once', async () => {
    await passes(mailOf('before@one.test'));
    await relay().postfix.stop();
    const mail = mailOf('meanwhile@one.test');
    assert.match(await sendOne(relay().filterPort, mail), /^451 4\.3\.2 /);
    const large = mailOf('large@one.test', 3_000_000);
    assert.match(await sendOne(relay().filterPort, large), /^451 4\.3\.2 /);
    // What is refused for its content is refused all the same.
    const open = {
      from: 'open@one.test',
      to: ['bob@two.test'],
      message: readable({ from: 'open@one.test' }, 'hello\r\n'),
    };
    assert.match(await sendOne(relay().filterPort, open), /^523 /);
    await relay().postfix.start();
    await passes(mail);
    await passes(large);
  });
});

describeRelay('Postfix closes idle connections', { reinject: ['smtpd_timeout=1s'] }, relay => {
  test('the 421 that an idle connection got goes to nobody', async () => {
    for (const from of ['early@one.test', 'late@one.test']) {
      const mark = relay().postfix.log.mark;
      const message = sealed({ from });
      assert.match(await relay().send({ from, to: ['bob@two.test'], message }), /^250 /);
      const [delivery] = await relay().arrived(1);
      assertIntact(delivery, message);
      await relay().postfix.log.find(/reinject\/smtpd\[\d+\]: timeout after /, mark);
    }
  });
});

describeRelay("as chatmail's own configuration has it", { reinject: [authclean] }, relay => {
  test('Received goes, Subject is hidden, the rest is what was sent', async () => {
    const from = 'clean@one.test';
    const message = sealed({ from });
    assert.match(await relay().send({ from, to: ['bob@two.test'], message }), /^250 /);
    const [delivery] = await relay().arrived(1);
    assert.ok(delivery?.message.equals(message));
  });
});
