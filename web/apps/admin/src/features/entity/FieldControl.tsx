import type { FieldType } from '@aoide/api';
import type { ReactNode } from 'react';
import { ListField, ObjectField } from './compoundFields';
import { DestinationField } from './DestinationField';
import type { FieldProps, FieldRenderer } from './fieldTypes';
import { RefField, RefListField } from './refFields';
import {
  BoolField, EnumField, EnumListField, IntField, NetListField, ReadOnlyField, SecretField, TextField, TimeField,
} from './simpleFields';

/** One renderer per field type of the registry. */
const renderers: Readonly<Record<FieldType, FieldRenderer>> = {
  bool: BoolField,
  int: IntField,
  text: TextField,
  digits: TextField,
  phone: TextField,
  email: TextField,
  host: TextField,
  enum: EnumField,
  enum_list: EnumListField,
  net_list: NetListField,
  secret: SecretField,
  verifier: SecretField,
  ref: RefField,
  ref_list: RefListField,
  dest: DestinationField,
  list: ListField,
  object: ObjectField,
  uuid: ReadOnlyField,
  time: TimeField,
};

export function FieldControl(props: FieldProps): ReactNode {
  const Renderer = renderers[props.field.type];
  return <Renderer {...props} />;
}
