import { expect, it } from 'vitest';
import { parseLibraryDependencies } from '../../../../src/queue/redis/debian-package.js';

it('apt-cache depends: names each library once, and nothing that is virtual or no library', () => {
  const output = [
    'redis-tools',
    '  Depends: libc6',
    ' |Depends: libsystemd0',
    '  Depends: <libsystemd-shared>',
    '  Depends: adduser',
    '  Depends: libssl3:amd64',
    '  PreDepends: libjemalloc2',
    'redis-server',
    '  Depends: libc6',
    '  Depends: lua-cjson',
    '  Depends: libstdc++6',
  ].join('\n');
  expect(parseLibraryDependencies(output)).toEqual([
    'libc6',
    'libsystemd0',
    'libssl3',
    'libjemalloc2',
    'lua-cjson',
    'libstdc++6',
  ]);
});
