/** Turns, medians, and the table that every benchmark prints and keeps in RESULTS.md. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';

export interface Measured {
  readonly seconds: number;
  /** Largest resident set, in MiB; absent where it was not measured. */
  readonly peakMib?: number;
}

export interface Contestant {
  readonly name: string;
  /** What ours is to reach against this one; the row's goal when absent. */
  readonly goal?: number | 'none';
  run(): Promise<Measured>;
}

export interface Row {
  readonly title: string;
  /** Before each turn of each contestant; not measured. */
  readonly before?: () => Promise<void>;
  readonly megabytes: number;
  /** Ours first; the ratio is ours to each of the others. */
  readonly contestants: readonly Contestant[];
  /** What ours is to reach: its throughput to that of the peer. */
  readonly goal: number;
}

/** Runs all contestants of a row in turn, `rounds` times after one that does not count. @returns lines of a table */
export async function compare(row: Row, rounds: number): Promise<readonly string[]> {
  const seen = new Map<string, Measured[]>(row.contestants.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const { name, run } of row.contestants) {
      await row.before?.();
      const measured = await run();
      if (round > 0) seen.get(name)?.push(measured);
      process.stderr.write(`${row.title}, ${name}: ${(row.megabytes / measured.seconds).toFixed(0)} MB/s\n`);
    }
  }
  const [ours, ...others] = row.contestants.map(({ name, goal = row.goal }) => ({
    name,
    goal,
    runs: seen.get(name) ?? [],
  }));
  if (ours === undefined) return [];
  return [ours, ...others].map(({ name, goal, runs }) => {
    const seconds = median(runs.map((run) => run.seconds));
    const peaks = runs.flatMap(({ peakMib }) => peakMib ?? []);
    // Pair by pair, since the speed of the machine drifts.
    const ratios = runs.map((run, index) => run.seconds / (ours.runs[index]?.seconds ?? Number.NaN));
    return `| ${[
      row.title,
      name,
      (row.megabytes / seconds).toFixed(0),
      `${(row.megabytes / Math.max(...runs.map((run) => run.seconds))).toFixed(0)}–${(row.megabytes / Math.min(...runs.map((run) => run.seconds))).toFixed(0)}`,
      peaks.length === 0 ? '' : Math.max(...peaks).toFixed(0),
      name === ours.name
        ? ''
        : `${median(ratios).toFixed(2)}${goal === 'none' ? '' : ` (goal ${goal.toFixed(1)})`}`,
    ].join(' | ')} |`;
  });
}

export const TABLE_HEAD = [
  '| what | who | MB/s, median | range | peak RSS, MiB | ours ÷ this |',
  '|---|---|---|---|---|---|',
];

/**
 * On a virtual machine, memory that was free for a while must first be given back by its host, and whoever writes the
 * first file pays for that, several times over: so nobody's file is the first.
 */
export async function warmMemory(folder: string, bytes: number): Promise<void> {
  const path = join(folder, 'warm');
  const piece = Buffer.alloc(1 << 20);
  const file = await open(path, 'w');
  for (let at = 0; at < bytes; at += piece.length) await file.write(piece);
  await file.close();
  await rm(path);
}

/** Prints a section and puts it into bench/RESULTS.md in place of the one with the same title. */
export function keep(title: string, note: string, lines: readonly string[]): void {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'processor'}, Node ${process.versions.node}, at ${commit}`;
  const section = `## ${title}\n\n${note}\n\n${machine}\n\n${lines.join('\n')}\n`;
  process.stdout.write(`${section}\n`);
  const path = join(process.cwd(), 'bench', 'RESULTS.md');
  const text = existsSync(path)
    ? readFileSync(path, 'utf8')
    : '# What was measured\n\nMade by `npm run bench`.\n';
  const [head = '', ...sections] = text.split(/\n(?=## )/);
  const others = sections.filter((each) => !each.startsWith(`## ${title}\n`));
  writeFileSync(
    path,
    `${[head.trimEnd(), ...others.map((each) => each.trimEnd()), section.trimEnd()].join('\n\n')}\n`,
  );
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}
