package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	cmtlog "github.com/cometbft/cometbft/libs/log"
)

// cometLog hands CometBFT's log to slog. What CometBFT calls info is debug
// here: it logs several lines a block. It also listens for the one line by which
// CometBFT says that its consensus goroutine is gone.
type cometLog struct {
	log      *slog.Logger
	fail     *failure
	stopping *atomic.Bool // its complaints while it is being stopped are debug
}

var _ cmtlog.Logger = cometLog{}

// ordinary are CometBFT's errors that are none: the seal reactor logs peers that
// come and go, by member. Nor is it an error that the voter keeps still: it has
// said why.
var ordinary = map[string]bool{
	"Stopping peer for error": true,
	"Error on broadcast":      true,
}

// consensusFailure is what CometBFT logs after it has recovered a panic in
// consensus (consensus/state.go, receiveRoutine).
const consensusFailure = "CONSENSUS FAILURE"

func (l cometLog) Debug(string, ...any) {}

func (l cometLog) Info(msg string, kv ...any) { l.write(slog.LevelDebug, msg, kv) }

func (l cometLog) Warn(msg string, kv ...any) { l.write(slog.LevelWarn, msg, kv) }

func (l cometLog) Error(msg string, kv ...any) {
	if strings.HasPrefix(msg, consensusFailure) {
		l.fail.report(fmt.Errorf("CometBFT's consensus has failed: %w", errors.New(attr(kv, "err"))))
	}
	level := slog.LevelWarn
	if ordinary[msg] || l.stopping.Load() || strings.HasPrefix(attr(kv, "err"), errStill.Error()) {
		level = slog.LevelDebug
	}
	l.write(level, msg, kv)
}

func (l cometLog) With(kv ...any) cmtlog.Logger {
	return cometLog{log: l.log.With(kv...), fail: l.fail, stopping: l.stopping}
}

func (l cometLog) write(level slog.Level, msg string, kv []any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	out := make([]any, 0, len(kv))
	for i := 0; i+1 < len(kv); i += 2 {
		out = append(out, slog.String(fmt.Sprint(kv[i]), fmt.Sprint(kv[i+1])))
	}
	l.log.Log(context.Background(), level, "cometbft: "+msg, out...)
}

func attr(kv []any, key string) string {
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i] == key {
			return fmt.Sprint(kv[i+1])
		}
	}
	return "no reason given"
}
