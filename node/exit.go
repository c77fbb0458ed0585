package node

import (
	"errors"
	"fmt"
)

// Exit codes, the same for every command (docs/spec/verdict.md).
const (
	exitOK        = 0 // done; proved
	exitFailed    = 1 // the command failed; the content or the proof is false
	exitUsage     = 2 // wrong usage, or input that cannot be read
	exitNotProved = 3 // consistent but not proved; not yet sealed; not ready
)

// codeError is an error with the exit code it ends the process with. A nil
// err means that the command has already said everything.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// usagef is an error of usage or of unreadable input: exit code 2.
func usagef(format string, args ...any) error {
	return &codeError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// quietExit ends the process with code without another word.
func quietExit(code int) error {
	if code == exitOK {
		return nil
	}
	return &codeError{code: code}
}

// exitCode is the code for err. Errors that no command returned come from
// cobra's parsing, so they are usage errors; run marks the others.
func exitCode(err error) (code int, quiet bool) {
	if err == nil {
		return exitOK, true
	}
	var ce *codeError
	if errors.As(err, &ce) {
		return ce.code, ce.err == nil
	}
	return exitUsage, false
}
