/**
 * The metadata.json of a study, from the headers of its instances: the patient and study from the first, each series
 * from its first. What a header does not say is left out, never guessed.
 */
import type { Header } from '../dicom/header.js';
import { TAGS } from '../dicom/tags.js';
import type { Described } from '../domain/instance.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { HumanName, JmixMetadata, JmixPatient, JmixSeries } from '../jmix/metadata.js';
import { readInstanceFile } from '../spool/instance-file.js';
import type { LoggedFile } from '../spool/logged-file.js';

const WANTED = [
  TAGS.SpecificCharacterSet,
  TAGS.BodyPartExamined,
  TAGS.StudyDescription,
  TAGS.PatientName,
  TAGS.PatientID,
  TAGS.IssuerOfPatientID,
  TAGS.PatientBirthDate,
  TAGS.PatientSex,
  TAGS.SeriesInstanceUID,
];

/** @param fileOf where an instance's bytes lie */
export async function describeStudy(
  studyInstanceUid: Uid,
  instances: readonly Described[],
  fileOf: (instance: Described) => string | LoggedFile,
): Promise<JmixMetadata> {
  const firstOfSeries = new Map<Uid, Described>();
  const counts = new Map<Uid, number>();
  for (const instance of instances) {
    const uid = instance.seriesInstanceUid;
    if (!firstOfSeries.has(uid)) firstOfSeries.set(uid, instance);
    counts.set(uid, (counts.get(uid) ?? 0) + 1);
  }
  let patient: JmixPatient | undefined;
  let description: string | undefined;
  const series: JmixSeries[] = [];
  for (const [uid, instance] of firstOfSeries) {
    const { header } = await readInstanceFile(fileOf(instance), WANTED);
    patient ??= describePatient(header);
    description ??= present(header.string(TAGS.StudyDescription));
    const bodyPart = present(header.string(TAGS.BodyPartExamined));
    series.push({
      seriesUid: uid,
      modality: instance.modality,
      ...(bodyPart === undefined ? {} : { bodyPart }),
      instanceCount: counts.get(uid) ?? 0,
    });
  }
  if (patient === undefined) throw new GatewayError('FAULT', 'a study without instances cannot be packed');
  return {
    patient,
    studies: {
      ...(description === undefined ? {} : { studyDescription: description }),
      studyUid: studyInstanceUid,
      series,
    },
  };
}

function describePatient(header: Header): JmixPatient {
  const name = parsePersonName(header.string(TAGS.PatientName) ?? '');
  const dob = formatDate(header.string(TAGS.PatientBirthDate) ?? '');
  const sex = header.string(TAGS.PatientSex);
  const id = header.string(TAGS.PatientID) ?? '';
  const issuer = present(header.string(TAGS.IssuerOfPatientID));
  return {
    id,
    ...(name === undefined ? {} : { name }),
    ...(dob === undefined ? {} : { dob }),
    ...(sex === 'M' || sex === 'F' || sex === 'O' ? { sex } : {}),
    ...(issuer === undefined ? {} : { identifiers: [{ system: issuer, value: id }] }),
  };
}

/**
 * A person name (PS3.5 §6.2.1): up to three groups parted by `=`, each of family, given, middle, prefix, suffix. The
 * first group that is not empty counts; where there are several, `text` keeps them all.
 */
export function parsePersonName(value: string): HumanName | undefined {
  const groups = value
    .split('=')
    .map((group) => group.trim())
    .filter((group) => group.replaceAll('^', '') !== '');
  const [first] = groups;
  if (first === undefined) return undefined;
  const [family, given, middle, prefix, suffix] = first.split('^').map((part) => part.trim());
  const givens = [given, middle].map(present).filter((name) => name !== undefined);
  return {
    ...(present(family) === undefined ? {} : { family: family as string }),
    ...(givens.length === 0 ? {} : { given: givens }),
    ...(present(prefix) === undefined ? {} : { prefix: prefix as string }),
    ...(present(suffix) === undefined ? {} : { suffix: suffix as string }),
    ...(groups.length === 1 ? {} : { text: groups.join(' = ').replaceAll('^', ' ') }),
  };
}

/** `YYYYMMDD` → `YYYY-MM-DD`; undefined for anything else, old `YYYY.MM.DD` apart. */
function formatDate(text: string): string | undefined {
  const parts = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(text);
  return parts === null ? undefined : `${parts[1]}-${parts[2]}-${parts[3]}`;
}

function present(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
