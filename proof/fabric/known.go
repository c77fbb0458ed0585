package fabric

import (
	"errors"

	"google.golang.org/protobuf/reflect/protoreflect"
)

var errUnknownField = errors.New("a protocol buffer with a field that is not known")

// known refuses unknown fields in a message and in every message inside it.
func known(m protoreflect.Message) error {
	if len(m.GetUnknown()) > 0 {
		return errUnknownField
	}
	var err error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() || f.Message() == nil: // the only maps hold bytes
		case f.IsList():
			for i := range v.List().Len() {
				if err = known(v.List().Get(i).Message()); err != nil {
					return false
				}
			}
		default:
			err = known(v.Message())
		}
		return err == nil
	})
	return err
}
