// Package access decides who may do what, and writes down what they did.
//
// It owns users and their passwords (Argon2id), sessions, the tokens of programs and nodes, the limits on login
// attempts, the default-deny middleware, the audit log and the register of retrievals. A caller is a [Principal]: a
// name with a role and a scope, which is a unit and everything below it. The package knows no cameras: whether one is
// in scope is asked of the inventory by the API.
//
// Nothing here prints or logs a password, a token or a session. The passwords that are handed out, the first
// administrator's and those of a reset, are returned by [Users.CreateFirst] and [Users.Reset] for the caller to print
// once; only hashes are stored.
package access
