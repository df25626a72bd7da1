import type { Entity } from '@aoide/api';
import { useParams } from 'react-router-dom';
import { useMay } from '../../app/session';
import { findEntity, useSchema } from '../../app/useSchema';

/** The entity that the address names; null when there is none or the role does not allow it. */
export function useEntityOfPage(): Entity | null {
  const { rest } = useParams();
  const entity = findEntity(useSchema(), rest);
  const allowed = useMay(entity?.permission ?? '', 'list');
  return entity && allowed ? entity : null;
}
