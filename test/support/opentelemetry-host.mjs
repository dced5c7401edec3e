// Loaded before the command, as a host would set up OpenTelemetry; tells at the end which of BullMQ's hooks are loaded.
import { createRequire } from 'node:module';

if (process.env.TRACE === 'true') {
  const { trace } = await import('@opentelemetry/api');
  const { BasicTracerProvider, ConsoleSpanExporter, SimpleSpanProcessor } = await import(
    '@opentelemetry/sdk-trace-base'
  );
  const spanProcessors = [new SimpleSpanProcessor(new ConsoleSpanExporter())];
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
}
const { cache } = createRequire(import.meta.url);
process.on('exit', () => {
  const isLoaded = Object.keys(cache).some((path) => path.includes('/node_modules/bullmq-otel/'));
  process.stderr.write(`bullmq-otel is ${isLoaded ? '' : 'not '}loaded\n`);
});
