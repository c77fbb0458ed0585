package fsck_test

import (
	"os"
	"path/filepath"
	"testing"

	"qifeng/fsck"
)

// TestWitnessFiles does to the key and the state of a witness what happens to
// files.
func TestWitnessFiles(t *testing.T) {
	const key, state = "keys/witness.pem", "keys/witness.state"
	remove := func(names ...string) func(*damaged) {
		return func(d *damaged) {
			for _, name := range names {
				d.ok(os.Remove(d.path(name)))
			}
		}
	}
	for _, c := range []struct {
		name string
		do   func(*damaged)
		file string
		code fsck.Code // "" where nothing is wrong
		note fsck.Code
	}{
		{"untouched", func(*damaged) {}, "", "", ""},
		{"both gone, as after a restore", remove(key, state), key, "", fsck.NoteNoWitness},
		{"no state", remove(state), state, fsck.CodeMissing, ""},
		{"no key", remove(key), key, fsck.CodeMissing, ""},
		{"key tampered", func(d *damaged) { d.edit(key, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }, key, fsck.CodeKey, ""},
		{"key truncated", func(d *damaged) { d.edit(key, func(b []byte) []byte { return b[:len(b)*2/3] }) }, key, fsck.CodeKey, ""},
		{"key of the log", func(d *damaged) {
			b, err := os.ReadFile(d.path("keys/log.pem"))
			d.ok(err)
			d.edit(key, func([]byte) []byte { return b })
		}, key, fsck.CodeKey, ""},
		{"key of another kind", func(d *damaged) {
			b, err := os.ReadFile(d.path("keys/submit.pem"))
			d.ok(err)
			d.edit(key, func([]byte) []byte { return b })
		}, key, fsck.CodeKey, ""},
		{"state tampered", func(d *damaged) { d.edit(state, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }, state, fsck.CodeWitness, ""},
		{"state truncated", func(d *damaged) { d.edit(state, func(b []byte) []byte { return b[:len(b)*2/3] }) }, state, fsck.CodeWitness, ""},
		{"state for all to read", func(d *damaged) { d.ok(os.Chmod(d.path(state), 0o644)) }, state, fsck.CodeKey, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDamaged(t, vendor)
			d.ok(command("key", "witness", "court.example/witness", "--home", d.dir))
			c.do(d)
			h := layout(d.dir, vendor)
			h.Keys.Witness, h.Keys.WitnessState = filepath.Join(d.dir, key), filepath.Join(d.dir, state)
			r := fsck.Check(t.Context(), h, fsck.Options{})
			if c.code == "" {
				noted := c.note == ""
				for _, n := range r.Notes {
					noted = noted || n.Code == c.note && n.File == c.file
				}
				if r.Result != fsck.Good || !noted {
					t.Errorf("%s", r.Text(false))
				}
				return
			}
			if r.Result != fsck.Wrong || r.Problem.Code != c.code || r.Problem.File != c.file {
				t.Errorf("want %s in %s:\n%s", c.code, c.file, r.Text(false))
			}
		})
	}
}
