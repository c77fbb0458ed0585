// Package vectors holds the test vectors of docs/spec, and the tests that run
// them on the Go verifier and on the second verifier (test/verifier2).
//
// The vectors are files: README.md says how a program in any language runs
// them. They were made by this package's tests from a small consortium whose
// keys are derived from labels anybody can read: such a policy protects
// nothing. SM2 signatures are random, so "go test ./test/vectors -update" makes
// other files of equal meaning; it is run when a format changes, never to make
// a failing test pass: the expected outcomes stand in the tables by hand.
package vectors
