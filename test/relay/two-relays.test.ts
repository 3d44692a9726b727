import { people } from './whole/people.ts';

people('two relays, people with real clients');
