/** Files for instances of the reception log, also where not all can be made: what is in one study's way holds up no other. */
import { dirname } from 'node:path';
import { type Restoration, type RestoredFile, restoreFiles } from './restorer.js';

export interface RestoredStudies<File> {
  /** With their digests, as `restoreFiles` gives them. */
  readonly made: readonly { readonly file: File; readonly sha256: string | undefined }[];
  /** Those of studies that could not get all; it can be asked for again. */
  readonly failed: readonly File[];
  /** Why, for the first of them; SPOOL_WRITE_FAILED. */
  readonly failure?: unknown;
}

/** All at once, and where that fails study by study. */
export async function restoreStudies<File extends RestoredFile>(
  restoration: Omit<Restoration, 'files'> & { readonly files: readonly File[] },
): Promise<RestoredStudies<File>> {
  const { files } = restoration;
  try {
    const digests = await restoreFiles(restoration);
    return { made: files.map((file, at) => ({ file, sha256: digests[at] })), failed: [] };
  } catch (failure) {
    const studies = new Set(files.map(({ to }) => dirname(to)));
    if (studies.size < 2) return { made: [], failed: files, failure };
    const parts: RestoredStudies<File>[] = [];
    for (const study of studies) {
      const ofStudy = files.filter(({ to }) => dirname(to) === study);
      parts.push(await restoreStudies({ ...restoration, files: ofStudy }));
    }
    return {
      made: parts.flatMap(({ made }) => made),
      failed: parts.flatMap(({ failed }) => failed),
      failure: parts.find((part) => part.failure !== undefined)?.failure,
    };
  }
}
