package fabric

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/fabric/sdkwire"
)

const (
	// sdkGrace is how long the program may take to end after its input has.
	sdkGrace = 2 * time.Second
	// sdkMargin is how much less time the SDK has for a call than the caller.
	sdkMargin = 100 * time.Millisecond
	// maxLogLine is where a line of its log is cut into parts.
	maxLogLine = 16 << 10
)

// SDK says how to reach a network that has no gateway service.
type SDK struct {
	Program string       // sdkdriver, as go build made it
	Open    sdkwire.Open // connection profile, identity, channel, chaincode
	Logger  *slog.Logger
}

// sdkNetwork speaks to a network through fabric-sdk-go, which runs in a program
// of its own (anchor/fabric/sdkdriver). The program is started when it is
// needed, ended when a call is given up, because nobody can tell the SDK to stop,
// and started again by the next call. It ends by itself when this process does:
// its standard input ends.
type sdkNetwork struct {
	cfg SDK

	mu    sync.Mutex // one call at a time; guards what follows
	child *sdkChild  // nil while none runs
	id    uint64
}

// sdkChild is one run of the program.
type sdkChild struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan sdkResult // closed when the program's output ends
	logged  chan struct{}
}

type sdkResult struct {
	answer *sdkwire.Answer
	err    error
}

// OpenSDK returns the network behind the program; it is started by the first call.
func OpenSDK(cfg SDK) (Network, error) {
	for _, path := range []*string{&cfg.Program, &cfg.Open.Profile, &cfg.Open.Certificate, &cfg.Open.Key} {
		abs, err := filepath.Abs(*path) // the program runs in a folder of its own
		if err != nil {
			return nil, err
		}
		*path = abs
	}
	st, err := os.Stat(cfg.Program)
	if err != nil {
		return nil, fmt.Errorf("sdk_program: %w: build it with go build -o bin/ ./anchor/fabric/sdkdriver", err)
	}
	if st.IsDir() || st.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("sdk_program: %s is no program", cfg.Program)
	}
	return &sdkNetwork{cfg: cfg}, nil
}

// Evaluate implements [Network].
func (n *sdkNetwork) Evaluate(ctx context.Context, chaincode string, args ...[]byte) ([]byte, error) {
	a, err := n.call(ctx, &sdkwire.Request{Op: sdkwire.OpEvaluate, Chaincode: chaincode, Args: args})
	if err != nil {
		return nil, err
	}
	return a.Result, nil
}

// Endorse implements [Network].
func (n *sdkNetwork) Endorse(ctx context.Context, args ...[]byte) (Endorsed, error) {
	a, err := n.call(ctx, &sdkwire.Request{Op: sdkwire.OpEndorse, Args: args})
	if err != nil {
		return Endorsed{}, err
	}
	return Endorsed{TxID: a.TxID, Payload: a.Result}, nil
}

// Submit implements [Network].
func (n *sdkNetwork) Submit(ctx context.Context, e Endorsed) (Commit, error) {
	a, err := n.call(ctx, &sdkwire.Request{Op: sdkwire.OpSubmit, TxID: e.TxID})
	if err != nil {
		return Commit{}, err
	}
	return Commit{Block: a.Block, Code: a.Code}, nil
}

// Close implements [Network].
func (n *sdkNetwork) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.end()
	return nil
}

// call asks the program. What it was asked when it was ended may have been done,
// so a submission that was given up wraps ErrUnknown.
func (n *sdkNetwork) call(ctx context.Context, req *sdkwire.Request) (*sdkwire.Answer, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n.child == nil {
		if req.Op == sdkwire.OpSubmit {
			return nil, errors.New("the program that had this transaction endorsed has ended")
		}
		if err := n.start(ctx); err != nil {
			return nil, err
		}
	}
	return n.exchange(ctx, req)
}

func (n *sdkNetwork) start(ctx context.Context) error {
	child, err := startSDK(n.cfg)
	if err != nil {
		return err
	}
	n.child = child
	if _, err := n.exchange(ctx, &sdkwire.Request{Op: sdkwire.OpOpen, Open: &n.cfg.Open}); err != nil {
		n.end()
		return fmt.Errorf("opening channel %s: %w", n.cfg.Open.Channel, err)
	}
	return nil
}

func (n *sdkNetwork) exchange(ctx context.Context, req *sdkwire.Request) (*sdkwire.Answer, error) {
	n.id++
	req.ID = n.id
	if by, ok := ctx.Deadline(); ok {
		// The SDK gives up a little before we do: to end its program takes it seconds
		// to begin again.
		req.TimeoutMS = max(time.Until(by.Add(-sdkMargin)).Milliseconds(), 1)
	}
	if err := sdkwire.Write(n.child.in, req); err != nil {
		n.end()
		return nil, n.lost(req.Op, fmt.Errorf("asking fabric-sdk-go's program: %w", err))
	}
	select {
	case r, ok := <-n.child.answers:
		switch {
		case !ok:
			n.end()
			return nil, n.lost(req.Op, errors.New("fabric-sdk-go's program has ended"))
		case r.err != nil:
			n.end()
			return nil, n.lost(req.Op, r.err)
		case r.answer.ID != req.ID:
			n.end()
			return nil, n.lost(req.Op, fmt.Errorf("fabric-sdk-go's program answered %d where %d was asked", r.answer.ID, req.ID))
		case r.answer.Error != nil:
			return nil, sdkError(r.answer.Error)
		}
		return r.answer, nil
	case <-ctx.Done():
		n.end()
		return nil, n.lost(req.Op, ctx.Err())
	}
}

func (n *sdkNetwork) lost(op sdkwire.Op, err error) error {
	if op == sdkwire.OpSubmit {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

func sdkError(e *sdkwire.Error) error {
	switch e.Kind {
	case sdkwire.Unknown:
		return fmt.Errorf("%w: %w", ErrUnknown, e)
	case sdkwire.Timeout:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, e)
	case sdkwire.Apart:
		return fmt.Errorf("%w: %w", ErrApart, e)
	case sdkwire.Rejected:
		return &Rejection{Messages: e.Messages}
	case sdkwire.Config:
		return fmt.Errorf("%w: %w", anchor.ErrRefused, e)
	default:
		return e
	}
}

// end ends the program, if one runs.
func (n *sdkNetwork) end() {
	if n.child == nil {
		return
	}
	n.child.end()
	n.child = nil
}

func startSDK(cfg SDK) (*sdkChild, error) {
	dir, err := os.MkdirTemp("", "qifeng-sdk-") // the SDK makes folders where it runs
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(cfg.Program)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir} // nothing of ours is its business
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	logs, errLogs := cmd.StderrPipe()
	if err := errors.Join(errIn, errOut, errLogs); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting fabric-sdk-go's program: %w", err), os.Remove(dir))
	}
	c := &sdkChild{cmd: cmd, in: in, answers: make(chan sdkResult, 1), logged: make(chan struct{})}
	go c.read(out)
	go c.log(logs, cfg.Logger)
	return c, nil
}

// read hands answers over until the output ends. One is asked for at a time, so
// the channel's one place is enough: a second answer to one question would be
// taken for the next one's and refused by its number.
func (c *sdkChild) read(out io.Reader) {
	defer close(c.answers)
	r := sdkwire.NewReader(out)
	for {
		a := &sdkwire.Answer{}
		err := r.Read(a)
		if errors.Is(err, io.EOF) {
			return
		}
		select {
		case c.answers <- sdkResult{a, err}:
		case <-c.logged: // it has ended, and nobody asks any more
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *sdkChild) log(logs io.Reader, l *slog.Logger) {
	defer close(c.logged)
	r := bufio.NewReaderSize(logs, maxLogLine)
	for {
		line, err := r.ReadSlice('\n') // a longer line comes in parts
		if len(line) > 0 && l != nil {
			l.Debug("fabric-sdk-go", "line", string(line))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// end closes the program's input, at which it ends, and kills it if it does not.
func (c *sdkChild) end() {
	c.in.Close() //nolint:errcheck // it may have ended by itself
	select {
	case <-c.logged:
	case <-time.After(sdkGrace):
		c.cmd.Process.Kill() //nolint:errcheck // it may have ended meanwhile
		<-c.logged
	}
	for range c.answers { //nolint:revive // what nobody waits for
	}
	c.cmd.Wait()            //nolint:errcheck // how it ended changes nothing
	os.RemoveAll(c.cmd.Dir) //nolint:errcheck // a folder in the temporary folder
}
