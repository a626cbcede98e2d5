// Preloaded into a server that would listen on every address of the machine: it listens on this one alone.
const net = require("node:net");

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (port, ...rest) {
  return /^\d+$/.test(port) ? listen.call(this, Number(port), "127.0.0.1", ...rest) : listen.call(this, port, ...rest);
};
