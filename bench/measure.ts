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
  /** Of the process that is measured; absent where it was not. */
  readonly cpuSeconds?: number;
}

export interface Contestant {
  readonly name: string;
  /** What ours is to reach against this one; the row's goal when absent. */
  readonly goal?: number | 'none';
  /** It runs in the first turn that counts alone: for what is only to be known about. */
  readonly isOnce?: true;
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

/** What one contestant did. */
export interface Turns {
  readonly name: string;
  readonly goal: number | 'none';
  readonly runs: readonly Measured[];
  /** Median of our throughput to this one's, turn by turn, since the speed of the machine drifts; of ours, 1. */
  readonly ratio: number;
}

/**
 * Runs all contestants of a row in turn, `rounds` times after `uncounted` ones; every other round from the last to the first,
 * since what one of them leaves behind in the page cache is the next one's gain or loss.
 */
export async function takeTurns(row: Row, rounds: number, uncounted = 1): Promise<readonly Turns[]> {
  const seen = new Map<string, Measured[]>(row.contestants.map(({ name }) => [name, []]));
  for (let round = -uncounted; round < rounds; round += 1) {
    const order = round % 2 === 0 ? row.contestants : row.contestants.toReversed();
    for (const { name, isOnce, run } of order) {
      if (isOnce && round !== 0) continue;
      await row.before?.();
      const measured = await run();
      if (round >= 0) seen.get(name)?.push(measured);
      process.stderr.write(`${row.title}, ${name}: ${(row.megabytes / measured.seconds).toFixed(0)} MB/s\n`);
    }
  }
  const ours = seen.get(row.contestants[0]?.name ?? '') ?? [];
  return row.contestants.map(({ name, goal = row.goal }) => {
    const runs = seen.get(name) ?? [];
    const ratios = runs.map((run, index) => run.seconds / (ours[index]?.seconds ?? Number.NaN));
    return { name, goal, runs, ratio: median(ratios) };
  });
}

/** `takeTurns` as lines of the table under TABLE_HEAD. */
export async function compare(row: Row, rounds: number): Promise<readonly string[]> {
  const turns = await takeTurns(row, rounds);
  return turns.map(({ name, goal, runs, ratio }, index) => {
    const seconds = runs.map((run) => run.seconds);
    return `| ${[
      row.title,
      name,
      (row.megabytes / median(seconds)).toFixed(0),
      `${(row.megabytes / Math.max(...seconds)).toFixed(0)}–${(row.megabytes / Math.min(...seconds)).toFixed(0)}`,
      peakOf(runs),
      index === 0 ? '' : formatRatio(ratio, goal),
    ].join(' | ')} |`;
  });
}

/** The largest resident set of all turns, in MiB. */
export function peakOf(runs: readonly Measured[]): string {
  const peaks = runs.flatMap(({ peakMib }) => peakMib ?? []);
  return peaks.length === 0 ? '' : Math.max(...peaks).toFixed(0);
}

export function formatRatio(ratio: number, goal: number | 'none'): string {
  return `${ratio.toFixed(2)}${goal === 'none' ? '' : ` (goal ${goal.toFixed(1)})`}`;
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

/**
 * Prints a section and puts it into bench/RESULTS.md in place of the one with the same title; with BENCH_KEEP=no, for
 * those who only try something, it is printed alone.
 */
export function keep(title: string, note: string, lines: readonly string[]): void {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'processor'}, Node ${process.versions.node}, at ${commit}`;
  const section = `## ${title}\n\n${note}\n\n${machine}\n\n${lines.join('\n')}\n`;
  process.stdout.write(`${section}\n`);
  if (process.env['BENCH_KEEP'] === 'no') return;
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
