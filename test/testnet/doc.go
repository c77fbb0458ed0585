// Package testnet runs the qifeng program for tests that span processes: it
// builds it, makes homes, starts members as processes of their own and ends them
// with the test. What a test asserts is the test's.
package testnet

// Vendor is the member that submits.
const Vendor = "vendor-a"

// Members of every network, in the order of "devnet homes --published".
var Members = []string{"court-a", "notary-a", "arbitration-a", Vendor}
