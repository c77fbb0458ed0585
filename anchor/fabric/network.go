package fabric

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Network is what the flow needs of one channel of a Fabric network and of the
// chaincode on it. The gateway client in this process is one implementation; the
// client of older networks, a program of its own, is the other. It knows nothing
// of checkpoints: arguments, proposals and answers are bytes to it, and whatever
// it says is checked by package proof/fabric afterwards. It may lie at no cost to
// us but time.
//
// One call is in flight at a time. Every call ends soon after ctx is done.
type Network interface {
	// Evaluate asks one peer and believes it: args[0] is the function. It serves
	// the anchor's chaincode ("head") and the peers' own ("qscc" GetBlockByNumber,
	// "cscc" GetConfigBlock, "_lifecycle" QueryChaincodeDefinition), whose first
	// argument after the function is mostly the channel.
	Evaluate(ctx context.Context, chaincode string, args ...[]byte) ([]byte, error)

	// Endorse has a call of the anchor's chaincode endorsed by as many
	// organisations as its endorsement policy asks for, and submits nothing. Every
	// call makes a proposal with a nonce of its own. An error that wraps [ErrApart]
	// says that the peers do not agree, or are not all there, which may pass.
	Endorse(ctx context.Context, args ...[]byte) (Endorsed, error)

	// Submit signs what Endorse returned, has it ordered and waits for the commit. A
	// nil error says that a peer told the outcome, good or bad. An error that wraps
	// [ErrUnknown] says that the transaction was handed over and may yet be
	// committed; any other error says that it was not.
	Submit(ctx context.Context, e Endorsed) (Commit, error)

	// Close gives connections and processes back. It may be called twice.
	Close() error
}

// Endorsed is an endorsed proposal that nobody has submitted.
type Endorsed struct {
	TxID string
	// Payload is the common.Payload of the envelope that would be submitted, not
	// yet signed: Header as proposed; Data a peer.Transaction of one action whose
	// Header is the signature header again, and whose ChaincodeActionPayload holds
	// the ChaincodeProposalPayload without transient data, the
	// ProposalResponsePayload as the peers signed it, and every endorsement. It is
	// what a gateway's PreparedTransaction carries.
	Payload []byte
}

// Commit is what a peer said of a transaction.
type Commit struct {
	Block uint64
	Code  int32 // peer.TxValidationCode: 0 VALID, 11 MVCC_READ_CONFLICT …
}

// Validation codes that the flow tells apart (peer.TxValidationCode).
const (
	codeValid = 0
	codeMVCC  = 11
)

// ErrUnknown is wrapped by errors of [Network.Submit] after which the transaction
// may be committed or not.
var ErrUnknown = errors.New("commit status unknown")

// ErrApart is wrapped by errors of [Network.Endorse] where peers answered, and
// their endorsements differ or do not suffice: one of them is a block behind, or
// does not know the others yet.
var ErrApart = errors.New("the peers are apart")

// Rejection says that the chaincode ran and refused. Its messages begin with a
// word of the chaincode's own: CONFLICT, FORK, SHRINK, STALE …
type Rejection struct {
	Messages []string // of each peer that refused, without what the peer put before
}

func (r *Rejection) Error() string {
	return fmt.Sprintf("the chaincode refuses: %s", strings.Join(r.Messages, "; "))
}

// says returns the first message that begins with word, without the word.
func (r *Rejection) says(word string) (string, bool) {
	for _, m := range r.Messages {
		if rest, ok := strings.CutPrefix(m, word); ok && (rest == "" || rest[0] == ' ') {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}
