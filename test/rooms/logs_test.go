package rooms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"
)

// notConstant are the two places whose message is not a literal, and why.
var notConstant = map[string]string{
	"chain/logger.go": "hands on what CometBFT says, under its own prefix",
	"chain/status.go": "an alarm is known by its attribute code; the message is its text for people",
}

// TestLogMessagesAreConstant: what varies in a log line stands in attributes, so
// that lines can be counted and nothing of a caller gets into a message.
func TestLogMessagesAreConstant(t *testing.T) {
	calls := 0
	for file := range sources(t) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if at := messageArgument(call); at >= 0 && at < len(call.Args) {
				calls++
				if lit, ok := call.Args[at].(*ast.BasicLit); (!ok || lit.Kind != token.STRING) && notConstant[filepath.ToSlash(file)] == "" {
					t.Errorf("%s: a log message that is no literal", file)
				}
			}
			return true
		})
	}
	if calls < 30 {
		t.Errorf("only %d log calls found: the test tests nothing", calls)
	}
}

// messageArgument is where the message stands in a call of a logger, -1 if the
// call is none.
func messageArgument(call *ast.CallExpr) int {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return -1
	}
	name := sel.Sel.Name
	receiver := ""
	switch x := sel.X.(type) {
	case *ast.Ident:
		receiver = x.Name
	case *ast.SelectorExpr:
		receiver = x.Sel.Name
	}
	if !slices.Contains([]string{"log", "slog", "logger", "Logger"}, receiver) {
		return -1
	}
	switch name {
	case "Debug", "Info", "Warn", "Error":
		return 0
	case "DebugContext", "InfoContext", "WarnContext", "ErrorContext":
		return 1
	case "Log", "LogAttrs":
		return 2
	}
	return -1
}
