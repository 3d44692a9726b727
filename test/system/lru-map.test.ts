import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LruMap } from '../../src/system/lru-map.ts';

test('beside a list that is kept in the order of use', () => {
  const step = fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    what: fc.constantFrom('get', 'set', 'delete'),
    value: fc.nat(),
  });
  const property = fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (steps, limit) => {
    const map = new LruMap<string, number>(limit);
    let list: [key: string, value: number][] = [];
    for (const { key, what, value } of steps) {
      const known = list.find(([other]) => other === key);
      if (what === 'get') assert.equal(map.get(key), known?.[1]);
      if (what === 'set') map.set(key, value);
      if (what === 'delete') map.delete(key);
      const others = list.filter(entry => entry !== known);
      if (what === 'delete') list = others;
      else if (what === 'set') list = [...others, [key, value] as [string, number]].slice(-limit);
      else if (known !== undefined) list = [...others, known];
      assert.equal(map.size, list.length);
    }
    for (const [key, value] of list) assert.equal(map.get(key), value);
  });
  fc.assert(property, { numRuns: 500 });
});
