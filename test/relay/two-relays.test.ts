import { people } from './whole/people.ts';

people('two relays, people with real clients', {
  settings: { max_user_send_per_minute: 600, max_user_send_burst_size: 100 },
});
