/** An observer that throws must not stop what it observes. */
export function tell<T>(observer: ((news: T) => void) | undefined, news: T): void {
  try {
    observer?.(news);
  } catch (error) {
    warn(`an observer of the subscriber threw: ${String(error)}`);
  }
}

/** For who listens to nothing. */
export function warn(message: string): void {
  process.emitWarning(message, 'CfwJobEventSubscriberWarning');
}
