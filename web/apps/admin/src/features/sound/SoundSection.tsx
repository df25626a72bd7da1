import type { Entity, Row } from '@aoide/api';
import type { ReactNode } from 'react';
import { AudioContent } from './AudioContent';
import { LanguagePrompts } from './LanguagePrompts';
import { MohFiles } from './MohFiles';

const sections: Readonly<Record<string, (props: { entity: Entity; row: Row }) => ReactNode>> = {
  audio_file: AudioContent,
  moh_class: MohFiles,
  language: LanguagePrompts,
};

/** What stands below the form of an object that has sound. */
export function SoundSection({ entity, row }: { entity: Entity; row: Row }): ReactNode {
  const Section = sections[entity.name];
  return Section ? <Section entity={entity} row={row} /> : null;
}
