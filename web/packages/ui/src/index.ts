export { ConfirmDialog, type ConfirmDialogProps } from './ConfirmDialog';
export { DataTable, type DataTableProps } from './DataTable';
export { EmptyState } from './EmptyState';
export { moved } from './order';
export { OrderedList, type OrderedItem, type OrderedListProps } from './OrderedList';
export { PageHeader, type PageHeaderProps } from './PageHeader';
export { Pager, pageSizes, type PagerProps } from './Pager';
export { SecretInput, type SecretInputProps } from './SecretInput';
export { passwordStrength, randomSecret, type Strength } from './strength';
