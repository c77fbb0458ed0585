// Package e2e tests the program from outside: real processes of the built
// command, a real network of four members, files and exit codes. It looks at
// nothing but what a user, an operator or a court could look at.
package e2e
