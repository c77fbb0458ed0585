package node

import (
	"fmt"
	"os"
	"strings"
)

// Lang is the language of what a command prints.
type Lang string

// The languages. Chinese is the default: it is the language of the courts
// this software is for.
const (
	Chinese Lang = "zh"
	English Lang = "en"
)

// ParseLang reads a --lang value; empty means the environment's language.
func ParseLang(s string, getenv func(string) string) (Lang, error) {
	switch Lang(s) {
	case Chinese, English:
		return Lang(s), nil
	case "":
		return envLang(getenv), nil
	}
	return "", usagef("--lang %q: must be zh or en · 只能是 zh 或 en", s)
}

// envLang follows the POSIX order of precedence. The locale "C" says nothing
// about a reader, so it does not choose English.
func envLang(getenv func(string) string) Lang {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		v := getenv(name)
		if v == "" {
			continue
		}
		if strings.HasPrefix(v, "en") {
			return English
		}
		return Chinese
	}
	return Chinese
}

// T picks the text in the language.
func (l Lang) T(zh, en string) string {
	if l == English {
		return en
	}
	return zh
}

// say prints one line in the command's language. The two formats take the
// same arguments in the same order, or name them by index.
func (a *app) say(zh, en string, args ...any) {
	fmt.Fprintf(a.out, a.lang.T(zh, en)+"\n", args...)
}

// note prints one line to standard error: progress and warnings, so that
// standard output stays what a script wants to read.
func (a *app) note(zh, en string, args ...any) {
	fmt.Fprintf(a.errw, a.lang.T(zh, en)+"\n", args...)
}

// example indents the lines of a help example the way cobra shows them.
func example(lines ...string) string {
	return "  " + strings.Join(lines, "\n  ")
}

func getenv(name string) string { return os.Getenv(name) }
