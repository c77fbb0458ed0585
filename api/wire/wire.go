// Package wire holds the JSON shapes of the HTTP interface that the server
// (package api) writes and the client (package api/client) reads.
//
// It is data only: no rule is checked here and nothing in it is evidence. What
// counts in a dispute is the proof file inside a [Record], which the reader
// verifies by itself; a server may lie in every other field.
package wire

import (
	"encoding/json"
	"fmt"
	"strings"
)

// State says how far a record has come (design §1). A state never goes back.
type State string

const (
	Accepted  State = "accepted"  // fsynced on the answering node, receipt signed
	Committed State = "committed" // its batch header is in a block of the chain
	Sealed    State = "sealed"    // a checkpoint covering it meets the seal quorum: the proof verifies offline
	Anchored  State = "anchored"  // an outside witness holds a sealed checkpoint that covers it
)

// Reached reports whether s is want or beyond it. An unknown state has reached nothing.
func (s State) Reached(want State) bool {
	rank := map[State]int{Accepted: 1, Committed: 2, Sealed: 3, Anchored: 4}
	return rank[s] > 0 && rank[s] >= rank[want]
}

// Record is one stored leaf: where it stands, and its proof file as far as the
// answer carries it.
type Record struct {
	ID    string `json:"id"`    // hex, the SM3 half of the submission's pair
	State State  `json:"state"` // as of this answer
	Node  string `json:"node"`  // member that took the record in
	Seq   uint64 `json:"seq"`   // its batch on that node

	// KeyRevokedAt is the ledger index of the entry that has revoked the key that
	// submitted the record; absent while the key is good, and in the answer to a
	// submission. The record stands: the key was good when it was taken in.
	KeyRevokedAt *uint64 `json:"key_revoked_at,omitempty"`

	// File is a proof file (docs/spec/proof.md) of the state accepted: record,
	// statement and receipt. GET /v1/records/{id}/proof gives the whole one.
	File json.RawMessage `json:"file"`
}

// AnchorsLeft is the header that names the anchors for which a proof file has no
// room, joined by commas.
const AnchorsLeft = "Qifeng-Anchors-Left"

// Submitted answers POST /v1/records: one element per submission, in the order sent.
type Submitted struct {
	Chain   string   `json:"chain"`
	State   State    `json:"state"` // the least far of the records
	Records []Record `json:"records"`
}

// Compact answers POST /v1/records where the caller prefers return=minimal and
// the whole request came in new: one receipt for all its records, from which the
// sender makes each record's proof file (docs/spec/receipt.md).
type Compact struct {
	Chain   string       `json:"chain"`
	Count   uint64       `json:"count"` // records, as many as submissions were sent
	Node    string       `json:"node"`  // member that took them in
	Receipt RangeReceipt `json:"receipt"`
	Seq     uint64       `json:"seq"`   // their batch on that node
	State   State        `json:"state"` // as of this answer
}

// RangeReceipt is a node's promise for records that stand together under one head.
type RangeReceipt struct {
	First uint64   `json:"first"` // index of the first of them
	Head  string   `json:"head"`  // signed receipt head
	Path  []Digest `json:"path"`  // range path to the head's root (docs/spec/merkle.md)
}

// Digest is a digest pair, in lower-case hex.
type Digest struct {
	SHA256 string `json:"sha256"`
	SM3    string `json:"sm3"`
}

// Records answers GET /v1/records/{id} and the two look-ups.
type Records struct {
	Records []Record `json:"records"`
	Next    string   `json:"next,omitempty"` // cursor of the next page, empty on the last
	// Lost says of a look-up, whatever it finds, that batches of this node were
	// lost after a backup, so that there may be more than it shows.
	Lost string `json:"lost,omitempty"`
}

// Member describes one organisation of the newest epoch. Name and API come from
// its signed card in the genesis, all else from the trust policy.
type Member struct {
	ID          string `json:"id"`
	Name        string `json:"name,omitempty"`
	Role        string `json:"role"`
	API         string `json:"api,omitempty"`
	SealSM2     string `json:"seal_sm2"`
	SealEd25519 string `json:"seal_ed25519"`
	Log         string `json:"log"`
	Intake      string `json:"intake"`
	Admin       string `json:"admin"`
}

// Members answers GET /v1/members.
type Members struct {
	Chain   string   `json:"chain"`
	Members []Member `json:"members"`
}

// Key is one registered user key.
type Key struct {
	Member    string  `json:"member"`
	Name      string  `json:"name"`
	PublicKey string  `json:"public_key"`
	Purpose   string  `json:"purpose"`
	Index     uint64  `json:"index"`                // ledger index of the entry that registered it
	RevokedAt *uint64 `json:"revoked_at,omitempty"` // ledger index of the entry that revoked it
}

// Keys answers GET /v1/keys.
type Keys struct {
	Keys []Key `json:"keys"`
}

// KeyResult answers POST /v1/keys. Committed is false when the wait ended
// first: the entry is in the pool of the chain, sending it again is harmless.
type KeyResult struct {
	Committed bool `json:"committed"`
	Key       *Key `json:"key,omitempty"`
}

// Seal is one member's seal; signatures are lower-case hex.
type Seal struct {
	Member  string `json:"member"`
	Time    int64  `json:"time"` // Unix seconds, the member's own clock
	Log     string `json:"log"`
	Ed25519 string `json:"ed25519"`
	SM2     string `json:"sm2"`
}

// Seals answers GET /v1/seals: every seal held for one size, quorum or not.
type Seals struct {
	Size  uint64 `json:"size"`
	Body  string `json:"body"` // the note body that the seals sign
	Seals []Seal `json:"seals"`
}

// MemberStatus is what the answering node knows of one member.
type MemberStatus struct {
	ID        string `json:"id"`
	Role      string `json:"role"`
	Self      bool   `json:"self"`
	Connected bool   `json:"connected"`
	SealSize  uint64 `json:"seal_size"`           // newest seal held of this member, 0 is none
	SealTime  string `json:"seal_time,omitempty"` // that seal's own time
	Fresh     bool   `json:"fresh"`               // it is recent: the member is sealing
	// ClockOffset is by how many seconds the member's clock is ahead of the
	// node's, estimated from the times of its live seals on their arrival and good
	// to about one; 0 of the node itself, absent where nothing was heard yet.
	ClockOffset *int64 `json:"clock_offset,omitempty"`
}

// Status answers GET /v1/status. Times are RFC 3339, UTC, milliseconds.
type Status struct {
	Chain   string         `json:"chain"`
	Node    string         `json:"node"`
	Version string         `json:"version"`
	Time    string         `json:"time"`
	Ready   bool           `json:"ready"`
	Reasons []Reason       `json:"reasons"`
	Ledger  LedgerStatus   `json:"ledger"`
	Intake  IntakeStatus   `json:"intake"`
	Members []MemberStatus `json:"members"`
	Anchors []AnchorStatus `json:"anchors"` // of this node; each member runs its own
}

// AnchorStatus is what the node knows of one of its anchors.
type AnchorStatus struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // fabric, rfc3161 or witness
	// Size is the ledger size of the newest checkpoint that the witness holds, 0 for
	// none; StoredAt is when its receipt was stored here, Stated the time in it,
	// which Fabric does not state.
	Size     uint64 `json:"size"`
	StoredAt string `json:"stored_at,omitempty"`
	Stated   string `json:"stated,omitempty"`
	Pending  uint64 `json:"pending,omitempty"`  // size that is being anchored
	Attempts int    `json:"attempts"`           // since the last receipt
	Error    string `json:"error,omitempty"`    // of the last attempt, if it failed
	NextTry  string `json:"next_try,omitempty"` // not before
	Hanging  bool   `json:"hanging,omitempty"`  // a call has not returned well after its deadline
	Retired  bool   `json:"retired,omitempty"`  // not configured any more; its receipts are still given out
	// Alarm says that the witness holds another state of the ledger. The anchor
	// stands still until the operator has looked (qifeng anchor resume).
	Alarm string `json:"alarm,omitempty"`
}

// LedgerStatus is the chain's part of [Status].
type LedgerStatus struct {
	Height      int64    `json:"height"`
	Size        uint64   `json:"size"`
	LastBlock   string   `json:"last_block,omitempty"`  // time in the newest block's header
	LastCommit  string   `json:"last_commit,omitempty"` // this node's clock when it last saw the chain alive
	CatchingUp  bool     `json:"catching_up"`
	SealedSize  uint64   `json:"sealed_size"`           // newest checkpoint that met its quorum, 0 before the first
	SealedTime  string   `json:"sealed_time,omitempty"` // its sealed time
	Quorum      string   `json:"quorum"`                // the rule, e.g. "3 of 4 members, 2 neutral roles"
	QuorumMet   bool     `json:"quorum_met"`            // enough members are sealing now
	Missing     string   `json:"missing,omitempty"`     // what is missing and who
	MissedSince string   `json:"missed_since,omitempty"`
	GuardOK     bool     `json:"guard_ok"`             // this member gives seals
	GuardCode   string   `json:"guard_code,omitempty"` // why it gives none, in a word that stays
	Guard       string   `json:"guard,omitempty"`      // the same in full
	Pool        int      `json:"pool"`                 // transactions that wait for a block
	Alarms      []string `json:"alarms,omitempty"`
}

// IntakeStatus is the archive's part of [Status].
type IntakeStatus struct {
	Accepting bool     `json:"accepting"`
	Reason    string   `json:"reason,omitempty"` // why nothing is taken in
	OpenSeq   uint64   `json:"open_seq"`         // the batch that is being filled
	Open      uint64   `json:"open"`             // records in it
	Batches   int      `json:"queued_batches"`   // closed ones that are not on the chain yet
	Queued    uint64   `json:"queued"`           // records in those
	InFlight  uint64   `json:"in_flight"`        // seq of the header that is being sent, 0 for none
	SendError string   `json:"send_error,omitempty"`
	Committed uint64   `json:"committed"` // seq of the newest batch known to be on the chain
	Pending   uint64   `json:"pending"`   // records that wait for their fsync
	FreeBytes uint64   `json:"free_bytes"`
	Alarms    []string `json:"alarms,omitempty"`
	Lost      *Lost    `json:"lost,omitempty"` // what the node, restored from a backup, does not have any more
}

// Lost are the batches of a node that the ledger has and the node has not, since
// it was restored from a backup: a mirror must answer for their records.
type Lost struct {
	Detail  string      `json:"detail"`
	Batches int         `json:"batches"`
	First   uint64      `json:"first"` // seq
	Last    uint64      `json:"last"`
	Records uint64      `json:"records"`
	Newest  []LostBatch `json:"newest"` // the newest hundred at most, rising
}

// LostBatch is one of them, as its header on the ledger describes it.
type LostBatch struct {
	Seq     uint64            `json:"seq"`
	Index   uint64            `json:"index"`   // ledger entry of its header
	Streams map[string]uint64 `json:"streams"` // records by stream
}

// Reason is one thing that keeps a node from being ready.
type Reason struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Ready answers GET /readyz, with status 200 or 503.
type Ready struct {
	Ready   bool     `json:"ready"`
	Reasons []Reason `json:"reasons"`
}

// Problem is the application/problem+json document (RFC 9457) of every answer
// that is not a success.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`

	Code      string `json:"code"`            // stable, for programs
	Index     *int   `json:"index,omitempty"` // which submission of the request
	Field     string `json:"field,omitempty"` // path of the field, e.g. "submissions[3].digest.sm3"
	Mend      string `json:"mend,omitempty"`  // what the caller can do
	State     State  `json:"state,omitempty"` // of the record, where the problem is its state
	RequestID string `json:"request_id"`      // to be named when asking the operator
}

// Error makes a problem usable as a Go error; it is one line.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%d %s)", p.Title, p.Status, p.Code)
	if p.Index != nil {
		fmt.Fprintf(&b, ", submission %d", *p.Index)
	}
	if p.Field != "" {
		fmt.Fprintf(&b, ", field %s", p.Field)
	}
	if p.Detail != "" {
		fmt.Fprintf(&b, ": %s", p.Detail)
	}
	if p.Mend != "" {
		fmt.Fprintf(&b, " (%s)", p.Mend)
	}
	return b.String()
}
