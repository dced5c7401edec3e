// jest runs tests in a vm context with its own Error, while errors thrown by Node itself come from the outer realm: they
// fail `instanceof Error`, and libraries that look at it (p-retry) treat them as a programming mistake. This makes
// `instanceof` answer what it answers outside jest.
import { types } from 'node:util';

const isDomException = (value) => Object.prototype.toString.call(value) === '[object DOMException]';

for (const type of [Error, TypeError, RangeError, SyntaxError]) {
  const { name } = type;
  Object.defineProperty(type, Symbol.hasInstance, {
    configurable: true,
    value(candidate) {
      if (this !== type) return Function.prototype[Symbol.hasInstance].call(this, candidate);
      if (name === 'Error') return types.isNativeError(candidate) || isDomException(candidate);
      if (!types.isNativeError(candidate)) return false;
      for (let proto = Object.getPrototypeOf(candidate); proto !== null; proto = Object.getPrototypeOf(proto)) {
        if (proto.constructor?.name === name) return true;
      }
      return false;
    },
  });
}
