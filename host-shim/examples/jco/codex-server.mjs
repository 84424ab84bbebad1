// The capability `codex-server`: this host keeps no codex between turns, and says so. The component then uses `codex`.

import { failed } from './codex.mjs';

const WHY =
  'This host keeps no codex between turns, so the turn runs with `codex exec`: set `transport` to "exec" in config.json.';

/** Whether a turn of this process has been told. */
let said = false;

/** The resource `turn`, of which there is none. */
class Turn {}

/** The interface `codex-server`. */
export const codexServer = {
  Turn,
  open() {
    const why = said ? undefined : WHY;
    said = true;
    throw failed({ tag: 'unavailable', val: why });
  },
};
