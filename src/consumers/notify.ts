/** An observer that throws must not stop what it observes. */
export function notify<T>(observer: ((news: T) => void) | undefined, news: T): void {
  try {
    observer?.(news);
  } catch (error) {
    warn(`an observer of the subscriber threw: ${String(error)}`);
  }
}

/** Reports to services that set no observer. */
export function warn(message: string): void {
  process.emitWarning(message, 'CfwJobEventSubscriberWarning');
}
