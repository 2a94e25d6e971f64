/** The options of `drawbridge pair`. */
import type { ConfigOption } from './config-option.js';
import type { JsonOption } from './output.js';

export interface PairOptions extends ConfigOption, JsonOption {
  /** Under which partners reach us. */
  readonly host: string;
  readonly in?: string;
  readonly out?: string;
  readonly words?: string;
  readonly refuse?: boolean;
  readonly test?: string;
}
