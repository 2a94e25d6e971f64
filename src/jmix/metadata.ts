/**
 * payload/metadata.json (JMIX metadata), both directions: who the patient is and what the study holds. It travels only
 * inside the sealed payload; nothing of it may reach a log, an error or the manifest. What is unknown is left out.
 */
import { formatTimestamp } from '../domain/clock.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { CANON, type Dialect } from './dialect.js';
import { JMIX_VERSION } from './manifest.js';
import { assertSchema, checkSchema, readBySchema } from './published-schemas.js';
import { isJsonObject, type JsonObject, type JsonValue, parseStrictObject } from './strict-json.js';

export const METADATA_FILE = 'metadata.json';

/** It names one study and its series, and no instances. */
export const METADATA_MAX_BYTES = 8 * 1024 * 1024;
const MAX_VALUES = 200_000;

export interface HumanName {
  readonly family?: string;
  readonly given?: readonly string[];
  readonly prefix?: string;
  readonly suffix?: string;
  readonly text?: string;
}

export interface PatientIdentifier {
  readonly system: string;
  readonly value: string;
}

export interface JmixPatient {
  readonly id: string;
  readonly name?: HumanName;
  /** `YYYY-MM-DD` */
  readonly dob?: string;
  readonly sex?: 'M' | 'F' | 'O';
  readonly identifiers?: readonly PatientIdentifier[];
}

export interface JmixSeries {
  readonly seriesUid: string;
  readonly modality: string;
  readonly bodyPart?: string;
  readonly instanceCount?: number;
}

/** One study, despite the schema's plural. */
export interface JmixStudy {
  readonly studyDescription?: string;
  readonly studyUid?: string;
  readonly series?: readonly JmixSeries[];
}

/** What the caller knows; version, id and timestamp are the manifest's. */
export interface JmixMetadata {
  readonly patient: JmixPatient;
  readonly studies?: JmixStudy;
  /** Payload-relative name of a report among the files. */
  readonly report?: { readonly file: string };
  readonly extensions?: Readonly<Record<string, unknown>>;
}

export interface ParsedMetadata {
  /** As far as the document says; of jmix-js documents, translated. */
  readonly model: JmixMetadata;
  readonly document: JsonObject;
  /**
   * Whether the document conforms to the published schema, unknown members apart, and once opened its payload has all
   * files that it must; only jmix-js may be read without the schema.
   */
  readonly conforms: boolean;
  /** As unknown-members.ts names them; of jmix-js documents, which have no schema, none. */
  readonly unknownMembers: readonly string[];
}

/**
 * The bytes of metadata.json.
 * @throws METADATA_INVALID when the result does not conform to the published schema; for jmix-js, which has none, when
 *   the specification's document would not
 */
export function formatMetadata(
  metadata: JmixMetadata,
  id: EnvelopeId,
  createdAtMs: number,
  form: Pick<Dialect, 'manifestKeys' | 'manifestIndent'> = CANON,
): Buffer {
  const { patient, studies, report, extensions } = metadata;
  const document = {
    version: JMIX_VERSION,
    id,
    timestamp: formatTimestamp(createdAtMs),
    patient: {
      id: patient.id,
      name: patient.name,
      dob: patient.dob,
      sex: patient.sex,
      identifiers: patient.identifiers,
    },
    report: report === undefined ? undefined : { file: report.file },
    studies: studies === undefined ? undefined : formatStudy(studies),
    extensions,
  };
  // JSON.stringify leaves absent members out, so what is checked is read back from what is written.
  const bytes = Buffer.from(JSON.stringify(document, null, form.manifestIndent));
  assertSchema('metadata', JSON.parse(bytes.toString()), 'METADATA_INVALID');
  if (form.manifestKeys === 'specification') return bytes;
  return Buffer.from(JSON.stringify(toJsDocument(metadata), null, form.manifestIndent));
}

/**
 * Reads metadata.json.
 * @param keys `js` for the documents of jmix-js, which follow no schema
 * @throws METADATA_INVALID when it is not strict JSON or, but for `js`, does not conform to the published schema
 */
export function readMetadata(bytes: Buffer, keys: Dialect['manifestKeys']): ParsedMetadata {
  const document = parseStrictObject(bytes, METADATA_FILE, 'METADATA_INVALID', MAX_VALUES);
  if (keys === 'js') {
    return {
      model: fromJsDocument(document),
      document,
      conforms: checkSchema('metadata', document) === undefined,
      unknownMembers: [],
    };
  }
  const unknownMembers = readBySchema('metadata', document, 'METADATA_INVALID');
  return { model: fromDocument(document), document, conforms: true, unknownMembers };
}

function formatStudy(study: JmixStudy) {
  return {
    study_description: study.studyDescription,
    study_uid: study.studyUid,
    series: study.series?.map((series) => ({
      series_uid: series.seriesUid,
      modality: series.modality,
      body_part: series.bodyPart,
      instance_count: series.instanceCount,
    })),
  };
}

/** From a document that conforms to the schema. */
function fromDocument(document: JsonObject): JmixMetadata {
  const patient = object(document['patient']);
  const report = object(document['report'])['file'];
  return {
    patient: {
      id: String(patient['id']),
      ...defined({
        name: patient['name'] as HumanName | undefined,
        dob: text(patient['dob']),
        sex: text(patient['sex']) as JmixPatient['sex'],
        identifiers: patient['identifiers'] as readonly PatientIdentifier[] | undefined,
      }),
    },
    ...defined({
      studies: document['studies'] === undefined ? undefined : parseStudy(object(document['studies'])),
      report: typeof report === 'string' ? { file: report } : undefined,
      extensions: document['extensions'] as JsonObject | undefined,
    }),
  };
}

/** The document of jmix-js: what it copies of its config, then what it reads from the DICOM files. */
function toJsDocument({ patient, studies, extensions }: JmixMetadata): unknown {
  const { id, dob, sex, identifiers } = patient;
  const series = formatStudy(studies ?? {}).series ?? [];
  return {
    patient: { name: nameText(patient.name), id, dob, sex, identifiers },
    study: { description: studies?.studyDescription, uid: studies?.studyUid },
    dicom: {
      study_description: studies?.studyDescription,
      study_uid: studies?.studyUid,
      modalities: [...new Set(series.map(({ modality }) => modality))],
      series_count: series.length,
      instance_count: series.reduce((sum, { instance_count }) => sum + (instance_count ?? 0), 0),
      series,
    },
    custom_metadata: extensions ?? {},
  };
}

/** `Dr Jane Brown Jr`, where there is no text that says it. */
function nameText(name: HumanName | undefined): string | undefined {
  if (name === undefined || name.text !== undefined) return name?.text;
  const parts = [name.prefix, ...(name.given ?? []), name.family, name.suffix];
  return parts.filter((part) => part !== undefined && part !== '').join(' ');
}

/** jmix-js: the name is a string, the study stands under `study` and `dicom`. Its dates and series are not reliable. */
function fromJsDocument(document: JsonObject): JmixMetadata {
  const patient = object(document['patient']);
  const study = object(document['study']);
  const name = text(patient['name']);
  const sex = text(patient['sex']);
  const id = text(patient['id']);
  const extensions = object(document['custom_metadata']);
  if (id === undefined) throw new GatewayError('METADATA_INVALID', 'metadata.json has no patient id');
  return {
    patient: {
      id,
      ...defined({
        name: name === undefined ? undefined : { text: name },
        dob: text(patient['dob']),
        sex: sex === 'M' || sex === 'F' || sex === 'O' ? sex : undefined,
      }),
    },
    studies: defined({ studyDescription: text(study['description']), studyUid: text(study['uid']) }),
    ...(Object.keys(extensions).length === 0 ? {} : { extensions }),
  };
}

function parseStudy(study: JsonObject): JmixStudy {
  const series = study['series'];
  return defined({
    studyDescription: text(study['study_description']),
    studyUid: text(study['study_uid']),
    series: Array.isArray(series) ? series.map((item) => parseSeries(object(item))) : undefined,
  });
}

function parseSeries(series: JsonObject): JmixSeries {
  const count = series['instance_count'];
  return {
    seriesUid: String(series['series_uid']),
    modality: String(series['modality']),
    ...defined({
      bodyPart: text(series['body_part']),
      instanceCount: typeof count === 'number' ? count : undefined,
    }),
  };
}

function object(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

function text(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** `record` without the members that are undefined. */
function defined<T extends object>(record: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(record).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
