/** A bookable service: an hour of conversation, a consultation. Listed and sold only while `published`. */
export const SERVICE_STATUSES = ['draft', 'published'] as const;
export type ServiceStatus = (typeof SERVICE_STATUSES)[number];

export interface Service {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly duration_minutes: number;
  readonly status: ServiceStatus;
  readonly created_by: string;
  readonly created_at: Date;
  readonly updated_at: Date;
}
