/** The demo's result: each leg of the road with its time, as a table. */
import type { DeliveryView, ReceptionView } from '../http/ports.js';

export interface Leg {
  readonly name: string;
  readonly instances: number;
  readonly bytes: number;
  readonly ms: number;
}

/** The legs between the two bridges, from the steps in their records. */
export function legsOf(delivery: DeliveryView, reception: ReceptionView): readonly Leg[] {
  const at = (record: DeliveryView | ReceptionView, event: string) =>
    record.steps.find((step) => step.event === event)?.atMs ?? 0;
  const size = { instances: delivery.instanceCount, bytes: delivery.dataSetBytes };
  const sealed = { instances: delivery.instanceCount, bytes: delivery.sealed?.sizeBytes ?? 0 };
  return [
    { name: 'pack and seal at A', ...sealed, ms: at(delivery, 'sealed') - delivery.createdAtMs },
    { name: 'ship A → B, HTTPS', ...sealed, ms: at(delivery, 'acknowledged') - at(delivery, 'sealed') },
    { name: 'open and verify at B', ...sealed, ms: at(reception, 'verified') - reception.receivedAtMs },
    { name: 'C-STORE to the PACS of B', ...size, ms: at(reception, 'delivered') - at(reception, 'verified') },
    {
      name: 'signed receipt B → A',
      instances: size.instances,
      bytes: 0,
      ms: at(delivery, 'verified') - at(reception, 'delivered'),
    },
  ];
}

export function formatLegs(legs: readonly Leg[]): string {
  const rows = legs.map(({ name, instances, bytes, ms }) => [
    name,
    String(instances),
    bytes === 0 ? '–' : String(bytes),
    (ms / 1000).toFixed(2),
    bytes === 0 || ms <= 0 ? '–' : (bytes / 1000 / ms).toFixed(1),
  ]);
  const table = [['leg', 'instances', 'bytes', 'seconds', 'MB/s'], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => (row[column] ?? '').length)));
  return table
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('   '),
    )
    .join('\n');
}
