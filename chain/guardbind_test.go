package chain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/proof/merkle"
)

func TestBindGuard(t *testing.T) {
	const origin, other = "qifeng/one-00000000", "qifeng/two-00000000"
	fresh := guardRecord{root: merkle.EmptyRoot()}
	used := guardRecord{size: 9, root: merkle.Sum([]byte("root")), time: 1_790_000_000}
	for _, tt := range []struct {
		name  string
		file  []byte // nil: missing
		want  guardRecord
		fails string
	}{
		{"made by init", encodeGuard(NoOrigin, fresh), fresh, ""},
		{"bound before", encodeGuard(origin, used), used, ""},
		{"missing", nil, guardRecord{}, "missing"},
		{"of another chain", encodeGuard(other, fresh), guardRecord{}, "another chain"},
		{"damaged", []byte("{"), guardRecord{}, "guard"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "guard.json")
			if tt.file != nil {
				if err := os.WriteFile(path, tt.file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := BindGuard(path, origin)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Fatalf("error %v, want one about %q", err, tt.fails)
				}
				if now, _ := os.ReadFile(path); string(now) != string(tt.file) {
					t.Error("a refused guard was changed")
				}
				return
			}
			if g := openGuard(path, origin); err != nil || g.broken != nil || g.missing || g.have != tt.want {
				t.Errorf("bound: %+v, %v", g, err)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "guard.json")
	if err := InitGuard(path, NoOrigin); err != nil {
		t.Fatal(err)
	}
	if g := openGuard(path, origin); g.broken == nil {
		t.Error("a guard that was never bound lets its keys seal")
	}
}
