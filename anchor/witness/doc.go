// Package witness speaks C2SP tlog-witness, as its client and as a witness.
package witness
