package bench

import (
	"fmt"
	"io"
	"strings"
)

// grid is a table of text.
type grid struct {
	markdown bool
	rows     [][]string
}

func (g *grid) row(cells ...string) { g.rows = append(g.rows, cells) }

// width counts Chinese characters as two columns.
func width(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x2e80 {
			n++
		}
	}
	return n
}

func (g *grid) write(w io.Writer) {
	if g.markdown {
		for i, r := range g.rows {
			fmt.Fprintf(w, "| %s |\n", strings.Join(r, " | "))
			if i == 0 {
				fmt.Fprintf(w, "|%s\n", strings.Repeat("---|", len(r)))
			}
		}
		fmt.Fprintln(w)
		return
	}
	var wide []int
	for _, r := range g.rows {
		for i, c := range r {
			if i == len(wide) {
				wide = append(wide, 0)
			}
			wide[i] = max(wide[i], width(c))
		}
	}
	for _, r := range g.rows {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(c)
			b.WriteString(strings.Repeat(" ", wide[i]-width(c)+2))
		}
		fmt.Fprintln(w, strings.TrimRightFunc(b.String(), func(r rune) bool { return r == ' ' }))
	}
	fmt.Fprintln(w)
}
