// Package ledger holds the test of the ledger as strangers read it: by stock
// tools and by a monitor, on a real network of four members.
package ledger
