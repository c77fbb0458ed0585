package anchor

import (
	"time"

	"qifeng/proof"
)

// Stored is a receipt with the exact note that it covers.
type Stored struct {
	Name       string
	Kind       proof.AnchorKind
	Size       uint64 // of the checkpoint
	Note, Data []byte // as in Receipt
	StoredAt   time.Time
	Time       time.Time // what the witness states; zero where it states none
}

// Status is what one anchor does now.
type Status struct {
	Name     string
	Kind     proof.AnchorKind
	Size     uint64    // of the newest receipt, 0 while there is none
	StoredAt time.Time // when it was stored
	Time     time.Time // what it states
	Pending  uint64    // size of the statement that the witness may have been given without an answer, 0 for none
	Attempts int       // since the newest receipt, the running one included
	// LastError is why the last attempt failed, or that a call hangs; empty after a
	// receipt.
	LastError string
	NextTry   time.Time // zero while nothing waits: an attempt runs, there is nothing new, or an alarm stopped it
	Alarm     *Alarm    // open; nil if there is none
	Hanging   bool      // a call has not returned well after its deadline; no other is made until it does
	Retired   bool      // stored, but not configured any more: its receipts are still read
}

// Alarm says that an outside witness, or this ledger itself, holds two states
// that exclude each other. Its anchor does nothing until an operator has looked.
type Alarm struct {
	Name   string
	At     time.Time
	Size   uint64
	Ours   []byte // the sealed note
	Theirs []byte // what the witness holds or said, as it came; or the note that it gave a receipt for
	Text   string
}

// What is what Config.Observe is told of.
type What string

// What happens to an anchor.
const (
	Succeeded What = "stored"   // a receipt is stored
	Failed    What = "failed"   // an attempt failed, and is made again
	Hung      What = "hung"     // a call has not returned well after its deadline
	Alarmed   What = "conflict" // an alarm is raised
)

// Event is one thing that happened to an anchor, for metrics.
type Event struct {
	Name string
	Kind proof.AnchorKind
	What What
	Size uint64        // of the checkpoint; 0 where none was chosen
	Took time.Duration // since the attempt began
}
