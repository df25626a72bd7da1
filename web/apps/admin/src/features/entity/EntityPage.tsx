import type { ReactNode } from 'react';
import { NoSuchPage } from '../../app/states';
import { EntityFormView } from './EntityFormPage';
import { SoundList, isSoundList } from '../sound/SoundList';
import { EntityList } from './EntityList';
import { useEntityOfPage } from './useEntity';

/** The list of an entity, or the form of settings that exist once. */
export function EntityPage(): ReactNode {
  const entity = useEntityOfPage();
  if (!entity) return <NoSuchPage />;
  if (isSoundList(entity)) return <SoundList key={entity.name} entity={entity} />;
  return entity.singleton ? (
    <EntityFormView key={entity.name} entity={entity} id={0} />
  ) : (
    <EntityList key={entity.name} entity={entity} />
  );
}
