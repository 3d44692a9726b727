import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandOf, controls, pathOf, refusalOf } from './parsed.ts';

type ParameterCase = [word: string, taken: Record<string, string | null> | '501 5.5.4' | '555 5.5.4'];
const bad = '501 5.5.4';
const unknown = '555 5.5.4';

const mailParameters: ParameterCase[] = [
  ['SIZE=0', { SIZE: '0' }],
  ['size=31457280', { SIZE: '31457280' }],
  ['SIZE=00000000000000000001', { SIZE: '00000000000000000001' }],
  ['SIZE', bad],
  ['SIZE=', bad],
  ['SIZE=-1', bad],
  ['SIZE=1e3', bad],
  ['SIZE=0x10', bad],
  ['SIZE=\xb2', bad],
  ['SIZE=1\xa0', bad],
  [`SIZE=${'1'.repeat(21)}`, bad],
  ['SIZE=1 SIZE=1', bad],
  ['SIZE=1 size=2', bad],
  ['BODY=7BIT', { BODY: '7BIT' }],
  ['body=8bitMime', { BODY: '8bitMime' }],
  ['BODY=BINARYMIME', bad],
  ['BODY', bad],
  ['BODY=', bad],
  ['BODY=8BITMIME BODY=8BITMIME', bad],
  ['SMTPUTF8', { SMTPUTF8: null }],
  ['smtputf8', { SMTPUTF8: null }],
  ['SMTPUTF8=', bad],
  ['SMTPUTF8=1', bad],
  ['SMTPUTF8 SMTPUTF8', bad],
  ['RET=FULL', { RET: 'FULL' }],
  ['ret=hdrs', { RET: 'hdrs' }],
  ['RET=BODY', bad],
  ['RET', bad],
  ['RET=FULL RET=HDRS', bad],
  ['ENVID=QQ314159', { ENVID: 'QQ314159' }],
  ['ENVID=xtext+20a+3Db', { ENVID: 'xtext+20a+3Db' }],
  ['ENVID==a=', { ENVID: '=a=' }],
  ['ENVID=\xa0', { ENVID: '\xa0' }],
  ['ENVID=', bad],
  ['ENVID', bad],
  ['ENVID=a ENVID=a', bad],
  ['AUTH=<>', { AUTH: '<>' }],
  ['AUTH=a+2Bb@c', { AUTH: 'a+2Bb@c' }],
  ['AUTH=', bad],
  ['AUTH', bad],
  ['AUTH=<> AUTH=<>', bad],
  [
    'SIZE=1 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x AUTH=<>',
    { SIZE: '1', BODY: '8BITMIME', SMTPUTF8: null, RET: 'HDRS', ENVID: 'x', AUTH: '<>' },
  ],
  ['auth=<>\t \tret=FULL', { AUTH: '<>', RET: 'FULL' }],
  ['NOTIFY=NEVER', unknown],
  ['ORCPT=rfc822;a@b', unknown],
];

const rcptParameters: ParameterCase[] = [
  ['NOTIFY=NEVER', { NOTIFY: 'NEVER' }],
  ['notify=success', { NOTIFY: 'success' }],
  ['NOTIFY=SUCCESS,FAILURE,DELAY', { NOTIFY: 'SUCCESS,FAILURE,DELAY' }],
  ['NOTIFY=delay,Failure', { NOTIFY: 'delay,Failure' }],
  ['NOTIFY', bad],
  ['NOTIFY=', bad],
  ['NOTIFY=NEVER,SUCCESS', bad],
  ['NOTIFY=SUCCESS,NEVER', bad],
  ['NOTIFY=SUCCESS,', bad],
  ['NOTIFY=,SUCCESS', bad],
  ['NOTIFY=SUCCESS,,DELAY', bad],
  ['NOTIFY=SOMETIMES', bad],
  ['NOTIFY=NEVER NOTIFY=NEVER', bad],
  ['ORCPT=rfc822;a+2Bb@c', { ORCPT: 'rfc822;a+2Bb@c' }],
  ['orcpt=UTF-8;\xc3\xbc@c', { ORCPT: 'UTF-8;\xc3\xbc@c' }],
  ['ORCPT=rfc822;a;b', { ORCPT: 'rfc822;a;b' }],
  ['ORCPT=rfc822;\xa0', { ORCPT: 'rfc822;\xa0' }],
  ['ORCPT', bad],
  ['ORCPT=', bad],
  ['ORCPT=a@b', bad],
  ['ORCPT=;a@b', bad],
  ['ORCPT=rfc822;', bad],
  ['ORCPT=rfc822;a ORCPT=rfc822;a', bad],
  ['NOTIFY=NEVER ORCPT=rfc822;a', { NOTIFY: 'NEVER', ORCPT: 'rfc822;a' }],
  ['SIZE=1', unknown],
  ['BODY=8BITMIME', unknown],
  ['SMTPUTF8', unknown],
];

const anyParameters: ParameterCase[] = [
  ['X', unknown],
  ['X=1', unknown],
  ['X-Y=1', unknown],
  ['9=1', unknown],
  ['HOLDFOR=10', unknown],
  ['__proto__=1', bad],
  ['constructor=1', unknown],
  ['toString', unknown],
  ['=', bad],
  ['=1', bad],
  ['-X', bad],
  ['S\xc4ZE=1', bad],
  ['\xa0', bad],
  ['<a@b>', bad],
];

test('MAIL and RCPT parameters: right, wrong, repeated, unknown, in any case', () => {
  const check = (command: string, cases: ParameterCase[]) => {
    for (const [words, taken] of cases) {
      const line = `${command} ${words}`;
      if (typeof taken === 'string') assert.equal(refusalOf(line), taken, line);
      else assert.deepEqual(pathOf(line), { address: 'a@b', parameters: taken }, line);
    }
  };
  check('MAIL FROM:<a@b>', [...mailParameters, ...anyParameters]);
  check('RCPT TO:<a@b>', [...rcptParameters, ...anyParameters]);
});

test('parameters keep their order and hold no control character', () => {
  const command = commandOf('MAIL FROM:<a@b> RET=FULL SIZE=1 BODY=7BIT');
  assert.ok('parameters' in command);
  assert.deepEqual([...command.parameters.keys()], ['RET', 'SIZE', 'BODY']);
  for (const control of controls) {
    if (control === '\t') continue; // a blank
    assert.equal(refusalOf(`MAIL FROM:<a@b> ENVID=a${control}b`), bad, JSON.stringify(control));
    assert.equal(refusalOf(`RCPT TO:<a@b> ORCPT=rfc822;a${control}b`), bad, JSON.stringify(control));
  }
});
