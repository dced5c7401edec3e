// Loaded before the command, as a host would set up OpenTelemetry; tells at the end what has been loaded as a package.
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
  for (const name of ['bullmq-otel', 'ioredis']) {
    const isLoaded = Object.keys(cache).some((path) => path.includes(`/node_modules/${name}/`));
    process.stderr.write(`${name} is ${isLoaded ? '' : 'not '}loaded\n`);
  }
});
