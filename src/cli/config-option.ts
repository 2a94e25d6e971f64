/** `--config`: which config file a command works with. */
import { resolve } from 'node:path';
import { Option } from 'commander';

export interface ConfigOption {
  readonly config: string;
}

export function configOption(): Option {
  return new Option('-c, --config <file>', 'config file').env('DRAWBRIDGE_CONFIG').default('drawbridge.yaml');
}

export function configPath(options: ConfigOption): string {
  return resolve(options.config);
}
