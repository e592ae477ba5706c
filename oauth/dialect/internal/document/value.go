package document

import (
	"fmt"
	"maps"
	"slices"
)

// Of makes a tree of a value as a decoder of JSON or YAML returns it: of maps, slices,
// texts, numbers. Its nodes have no lines. An error is an *Error.
func Of(value any) (*Node, error) {
	root := new(Node)
	return root, fromValue(root, value, 0)
}

func fromValue(n *Node, value any, depth int) error {
	if err := tooDeep(n, depth); err != nil {
		return err
	}
	switch value := value.(type) {
	case nil:
		n.Kind = Null
	case string:
		n.Kind, n.Text = Text, value
	case bool:
		n.Kind, n.True = Bool, value
	case int, int64, uint, uint64, float64:
		n.Kind, n.Text = Number, fmt.Sprint(value)
	case []any:
		n.Kind = List
		for _, each := range value {
			element := n.element(0)
			if err := fromValue(element, each, depth+1); err != nil {
				return err
			}
			n.Elements = append(n.Elements, element)
		}
	case map[string]any:
		n.Kind = Object
		for _, name := range slices.Sorted(maps.Keys(value)) {
			member := n.child(name, 0)
			if err := fromValue(member, value[name], depth+1); err != nil {
				return err
			}
			n.Members = append(n.Members, Member{name, member})
		}
	default:
		return n.Wrong("has a kind that is not known here")
	}
	return nil
}
