// Loaded before a peer that cannot be told its address: whatever it listens on, it listens on 127.0.0.1 only.
const { Server } = require("node:net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (first, ...rest) {
  if (first !== null && typeof first === "object" && "port" in first) return listen.call(this, { ...first, host: "127.0.0.1" }, ...rest);
  const more = rest.filter((one) => typeof one === "function");
  return listen.call(this, { port: Number(first) || 0, host: "127.0.0.1" }, ...more);
};
