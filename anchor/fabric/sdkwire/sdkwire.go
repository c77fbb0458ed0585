// Package sdkwire is the line protocol between a node and sdkdriver, the program
// that speaks to Fabric networks without a gateway service (docs/adr/0036-sdk-driver.md).
//
// Each message is one line of JSON. The node writes requests to the program's
// standard input, the program answers each in turn on its standard output; its
// standard error is a log. The first request opens the channel. The end of the
// input ends the program.
//
// It is no public interface: both ends are built from one commit. Each still
// bounds and checks what it reads, since a broken program must not break a node.
package sdkwire

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxLine bounds a message: the largest is a block, and Fabric's own messages
// have at most 100 MiB; a block of more than a few KiB is refused later anyway
// (proof/fabric).
const MaxLine = 64 << 20

// Op is what is asked.
type Op string

// The operations; docs of fabric.Network say what each promises.
const (
	OpOpen     Op = "open"     // Open in, nothing out
	OpEvaluate Op = "evaluate" // Chaincode, Args in, Result out
	OpEndorse  Op = "endorse"  // Args in, TxID and Result (the payload) out
	OpSubmit   Op = "submit"   // TxID in, Block and Code out
)

// Request is one message to the program.
type Request struct {
	ID        uint64   `json:"id"` // rises
	Op        Op       `json:"op"`
	TimeoutMS int64    `json:"timeout_ms,omitempty"`
	Open      *Open    `json:"open,omitempty"`
	Chaincode string   `json:"chaincode,omitempty"`
	Args      [][]byte `json:"args,omitempty"` // the function first
	TxID      string   `json:"tx_id,omitempty"`
}

// Open says where the channel is and as whom to speak. Files are named, not
// sent: no key crosses the pipe.
type Open struct {
	Profile      string `json:"profile"`                // connection profile, YAML
	Organisation string `json:"organisation,omitempty"` // name in the profile or MSP id; "" for the profile's own
	Certificate  string `json:"certificate"`
	Key          string `json:"key"`
	Channel      string `json:"channel"`
	Chaincode    string `json:"chaincode"`
}

// Answer is one message from the program.
type Answer struct {
	ID     uint64 `json:"id"`
	Result []byte `json:"result,omitempty"`
	TxID   string `json:"tx_id,omitempty"`
	Block  uint64 `json:"block,omitempty"`
	Code   int32  `json:"code,omitempty"`
	Error  *Error `json:"error,omitempty"`
}

// Kind tells errors apart.
type Kind string

// The kinds of error.
const (
	Failed   Kind = "failed"   // nothing was handed over
	Unknown  Kind = "unknown"  // the transaction may be committed or not
	Timeout  Kind = "timeout"  // nothing was handed over in time
	Rejected Kind = "rejected" // the chaincode ran and refused
	Apart    Kind = "apart"    // the peers differ, or are not enough, which may pass
	Config   Kind = "config"   // only an operator can mend it
)

// Error is an error that crosses the pipe.
type Error struct {
	Kind     Kind     `json:"kind"`
	Text     string   `json:"text"`
	Messages []string `json:"messages,omitempty"` // Rejected: the chaincode's, of each peer
}

func (e *Error) Error() string { return e.Text }

// Write writes one message.
func Write(w io.Writer, message any) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(b) >= MaxLine {
		return fmt.Errorf("a message has %d bytes, more than %d", len(b), MaxLine)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// Reader reads messages.
type Reader struct{ lines *bufio.Scanner }

// NewReader returns a reader of messages.
func NewReader(r io.Reader) *Reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), MaxLine)
	return &Reader{s}
}

// Read reads the next message; io.EOF at the end.
func (r *Reader) Read(message any) error {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	if err := json.Unmarshal(r.lines.Bytes(), message); err != nil {
		return errors.Join(errors.New("a line is not a message"), err)
	}
	return nil
}
