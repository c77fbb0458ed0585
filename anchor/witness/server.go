package witness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/time/rate"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// ServerConfig makes this node a witness.
type ServerConfig struct {
	Name   string             // key name on its cosignatures, as "court.example/witness"
	Key    gm.Signer          // Ed25519; serves nothing else
	Logs   []Log              // whose checkpoints it cosigns
	Policy *checkpoint.Policy // of the own consortium, which it is no witness of
	State  string             // path of the state file, made by InitState with the key

	Now    func() time.Time // nil for time.Now
	Logger *slog.Logger     // nil for none
}

// Server answers add-checkpoint requests. It never cosigns two states of one log that
// exclude each other, nor a smaller one after a larger.
//
// Order of a cosignature, under one lock from the first step to the last:
//
//  1. The request begins at the size that was cosigned last, the checkpoint carries a
//     log's signature, its tree grew out of the root that was cosigned last, and the
//     clock is not behind the last cosignature. What grows keeps to the log's rate.
//  2. The state file says the new size, root and time, and is on disk: temporary
//     file, fsync, rename, fsync of the folder. Memory follows.
//  3. Only then is the cosignature made and sent.
//
// A crash before the rename leaves the old state and no cosignature. After it the state
// is ahead of what was signed, which is harmless: the log is told the size by a 409,
// begins there with the same root, and is cosigned. Where the folder does not sync
// nobody knows which of the two states a power cut would leave; nothing is cosigned any
// more until a new start has read the file.
type Server struct {
	cfg     ServerConfig
	witness checkpoint.Witness
	logs    map[string]note.Verifiers
	limits  map[string]*rate.Limiter // of growth, by log
	told    map[string]*rate.Limiter // of what is logged of refusals, by log
	slots   chan struct{}

	mu     sync.Mutex // guards state, broken, and the files; held while cosigning
	state  map[string]held
	broken error // set when the file may differ from state; only a new start mends it
}

// NewServer reads the state. It refuses a key without one, a state that does not read,
// and logs that are no others'.
func NewServer(cfg ServerConfig) (*Server, error) {
	s, err := newServer(cfg)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	return s, nil
}

func newServer(cfg ServerConfig) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Key == nil || cfg.Policy == nil || len(cfg.Logs) == 0 || len(cfg.Logs) > maxLogs {
		return nil, fmt.Errorf("it needs a key, the own policy, and 1 to %d logs", maxLogs)
	}
	s := &Server{cfg: cfg, witness: checkpoint.Witness{Name: cfg.Name, Key: cfg.Key.Public()},
		logs: make(map[string]note.Verifiers), limits: make(map[string]*rate.Limiter), told: make(map[string]*rate.Limiter),
		slots: make(chan struct{}, maxSlots)}
	if _, err := checkpoint.ParseWitness(s.witness.String()); err != nil {
		return nil, err
	}
	if err := outside(cfg.Logs, s.witness, cfg.Policy); err != nil {
		return nil, err
	}
	for _, l := range cfg.Logs {
		if err := s.register(l); err != nil {
			return nil, err
		}
	}
	var err error
	s.state, err = loadState(cfg.State)
	return s, err
}

func (s *Server) register(l Log) error {
	if err := checkOrigin(l.Origin); err != nil {
		return err
	}
	if s.logs[l.Origin] != nil || len(l.Keys) == 0 || len(l.Keys) > maxLogKeys {
		return fmt.Errorf("the log %s: named once, with 1 to %d keys", l.Origin, maxLogKeys)
	}
	var vs []note.Verifier
	for _, k := range l.Keys {
		v, err := note.NewVerifier(checkpoint.LogKey(l.Origin, k))
		if err != nil {
			return fmt.Errorf("the log %s: %w", l.Origin, err)
		}
		vs = append(vs, v)
	}
	s.logs[l.Origin] = note.VerifierList(vs...)
	s.limits[l.Origin] = rate.NewLimiter(logRate, logBurst)
	s.told[l.Origin] = rate.NewLimiter(tellRate, tellBurst)
	return nil
}

// Witness is the verifier of its cosignatures; its String is what logs register.
func (s *Server) Witness() checkpoint.Witness { return s.witness }

// LogStatus is what the witness knows of one of its logs.
type LogStatus struct {
	Origin string
	Size   uint64
	Time   time.Time // of the last cosignature; zero if there is none
	Forked bool      // a proof against it lies in its [ForkFiles]
}

// Status tells of all logs, sorted by origin.
func (s *Server) Status() []LogStatus {
	s.mu.Lock()
	state := s.state // replaced when it changes, never changed
	s.mu.Unlock()
	var out []LogStatus
	for _, origin := range slices.Sorted(maps.Keys(s.logs)) {
		st := LogStatus{Origin: origin}
		if h, ok := state[origin]; ok {
			st.Size, st.Time = h.size, time.Unix(h.time, 0).UTC()
		}
		kept, _ := ForkFiles(s.cfg.State, origin)
		_, err := os.Stat(kept)
		st.Forked = err == nil
		out = append(out, st)
	}
	return out
}

// Err is why nothing is cosigned until a new start, nil while all is well.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// reply is an answer by c2sp.org/tlog-witness.
type reply struct {
	status int
	body   string
}

// ServeHTTP answers one add-checkpoint request, under whatever path it is mounted.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a := s.serve(rw, r)
	h := rw.Header()
	switch a.status {
	case http.StatusConflict:
		h.Set("Content-Type", sizeType)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
		fallthrough
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	rw.WriteHeader(a.status)
	_, _ = io.WriteString(rw, a.body) // a caller who has gone asks again
}

func (s *Server) serve(rw http.ResponseWriter, r *http.Request) reply {
	if r.Method != http.MethodPost {
		return reply{status: http.StatusMethodNotAllowed, body: "POST only\n"}
	}
	// Not every writer has a deadline to set; the server's own holds then.
	_ = http.NewResponseController(rw).SetReadDeadline(time.Now().Add(readTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest))
	if errors.As(err, new(*http.MaxBytesError)) {
		return reply{status: http.StatusRequestEntityTooLarge, body: fmt.Sprintf("at most %d bytes\n", maxRequest)}
	}
	if err != nil {
		return reply{status: http.StatusBadRequest, body: "the request did not arrive\n"}
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return reply{status: http.StatusServiceUnavailable, body: "busy\n"}
	}
	return s.add(body)
}

// add judges a request in the order of the specification.
func (s *Server) add(body []byte) reply {
	sub, err := parseSubmission(body)
	if err != nil {
		return malformed(err)
	}
	keys, ok := s.logs[sub.origin]
	if !ok {
		return reply{status: http.StatusNotFound, body: "unknown log\n"}
	}
	return s.addTo(sub, keys)
}

// malformed says what is wrong with a request, without giving all of it back.
func malformed(err error) reply {
	text := err.Error()
	return reply{status: http.StatusBadRequest, body: text[:min(len(text), maxSaid)] + "\n"}
}

func (s *Server) addTo(sub submission, keys note.Verifiers) reply {
	n, err := note.Open(sub.note, keys)
	if errors.As(err, new(*note.UnverifiedNoteError)) || errors.As(err, new(*note.InvalidSignatureError)) {
		return reply{status: http.StatusForbidden, body: "no valid signature of a key that is registered for this log\n"}
	}
	if err != nil {
		return reply{status: http.StatusBadRequest, body: "malformed note\n"}
	}
	next, err := parseHead(n.Text)
	if err != nil {
		return malformed(err)
	}
	if len(n.Text) > maxText {
		return reply{status: http.StatusRequestEntityTooLarge, body: fmt.Sprintf("a checkpoint has at most %d bytes\n", maxText)}
	}
	if sub.old > next.size {
		return reply{status: http.StatusBadRequest, body: "the old size is beyond the checkpoint's\n"}
	}
	return s.cosign(sub, next, n)
}

// cosign checks the checkpoint against what was cosigned last, records it, and signs:
// see [Server] for the order.
func (s *Server) cosign(sub submission, next head, n *note.Note) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.cfg.Logger.With("origin", next.origin, "size", next.size)
	if s.broken != nil {
		log.Error("witness cosigns nothing until it is started again", "err", s.broken)
		return reply{status: http.StatusInternalServerError, body: "out of order\n"}
	}
	last, ok := s.state[next.origin]
	if !ok {
		last.head = head{origin: next.origin, root: emptyRoot}
	}
	size := reply{status: http.StatusConflict, body: strconv.FormatUint(last.size, 10) + "\n"}
	if sub.old != last.size {
		return size
	}
	seen := signedBytes(n)
	if next.size == last.size && next.root != last.root {
		s.keepFork(s.bounded(log, next.origin), last, seen)
		return size
	}
	if !grows(last.head, next, sub.proof) {
		s.bounded(log, next.origin).Warn("witness refuses a consistency proof", "held", last.size)
		return reply{status: http.StatusUnprocessableEntity, body: "the consistency proof does not verify\n"}
	}
	now := s.cfg.Now().Unix()
	if now < max(last.time, 1) {
		s.bounded(log, next.origin).Error("witness clock is behind its last cosignature", "behind", last.time-now)
		return reply{status: http.StatusServiceUnavailable, body: "clock\n"}
	}
	// Only what nobody could send but the log, and once, takes of its rate: a checkpoint
	// is public, and whoever sends an old one again must not keep the log waiting.
	if next.size > last.size && !s.limits[next.origin].AllowN(s.cfg.Now(), 1) {
		return reply{status: http.StatusTooManyRequests, body: fmt.Sprintf("at most %d a second\n", logRate)}
	}
	line, err := s.sign(held{head: next, note: seen, time: now}, n.Text)
	if err != nil {
		log.Error("witness does not cosign", "err", err)
		return reply{status: http.StatusInternalServerError, body: "out of order\n"}
	}
	return reply{status: http.StatusOK, body: string(line)}
}

// bounded is a logger of what strangers can bring about by sending a log's
// checkpoints again.
func (s *Server) bounded(log *slog.Logger, origin string) *slog.Logger {
	if s.told[origin].Allow() {
		return log
	}
	return slog.New(slog.DiscardHandler)
}

// sign records and signs; the caller has checked, and holds the lock. What the state
// says already, to the second, is not written again: anybody can ask for it, and the
// disk is the ledger's too.
func (s *Server) sign(h held, text string) ([]byte, error) {
	if last, ok := s.state[h.origin]; ok && last.head == h.head && last.time == h.time {
		return s.witness.Cosign(s.cfg.Key, h.time, []byte(text))
	}
	if err := point(pointChecked); err != nil {
		return nil, err
	}
	state := maps.Clone(s.state)
	state[h.origin] = h
	if len(h.note) > maxHeld || len(state) > maxKept {
		return nil, fmt.Errorf("a note of %d bytes, at most %d; %d logs in the state, at most %d", len(h.note), maxHeld, len(state), maxKept)
	}
	renamed, err := replaceFile(s.cfg.State, encodeState(state))
	if err != nil {
		if renamed {
			s.broken = err
		}
		return nil, fmt.Errorf("recording the state: %w", err)
	}
	s.state = state
	if err := point(pointRecorded); err != nil {
		return nil, err
	}
	line, err := s.witness.Cosign(s.cfg.Key, h.time, []byte(text))
	if err != nil {
		return nil, err
	}
	return line, point(pointSigned)
}

// signedBytes is the note with the lines that verified, and no others: what is kept is
// the log's own word, and no stranger's.
func signedBytes(n *note.Note) []byte {
	var b bytes.Buffer
	b.WriteString(n.Text)
	b.WriteByte('\n')
	for _, sig := range n.Sigs[:min(len(n.Sigs), keptLines)] {
		fmt.Fprintf(&b, "— %s %s\n", sig.Name, sig.Base64)
	}
	return b.Bytes()
}
