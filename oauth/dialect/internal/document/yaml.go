package document

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

func readYAML(data []byte) (*Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) != 1:
		return nil, &Error{Problem: "the document is empty"}
	case err != nil:
		return nil, notYAML(err)
	}
	switch err := decoder.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, notYAML(err)
	default:
		return nil, &Error{Line: more.Line, Problem: "there is a second document"}
	}
	root := new(Node)
	return root, fromYAML(root, doc.Content[0], 0)
}

// notYAML keeps of a library's error the line, which can be the one before: its text can
// quote the document.
func notYAML(err error) *Error {
	text, _ := strings.CutPrefix(err.Error(), "yaml: line ")
	digits, _, _ := strings.Cut(text, ":")
	line, _ := strconv.Atoi(digits) // zero if it has none
	return &Error{Line: line, Problem: "this is not YAML, here or in the next line"}
}

// fromYAML makes n, of which the path is set, of a node of the library's.
func fromYAML(n *Node, y *yaml.Node, depth int) error {
	n.Line = y.Line
	if err := tooDeep(n, depth); err != nil {
		return err
	}
	switch {
	case y.Kind == yaml.AliasNode, y.Anchor != "":
		return n.Wrong("anchors and aliases are not taken here: write the value out")
	case y.Kind == yaml.MappingNode && y.ShortTag() == "!!map":
		return objectFromYAML(n, y, depth)
	case y.Kind == yaml.SequenceNode && y.ShortTag() == "!!seq":
		n.Kind = List
		for _, each := range y.Content {
			value := n.element(each.Line)
			if err := fromYAML(value, each, depth+1); err != nil {
				return err
			}
			n.Elements = append(n.Elements, value)
		}
		return nil
	case y.Kind == yaml.ScalarNode:
		return scalarFromYAML(n, y)
	}
	return n.Wrong("tags are not taken here")
}

func objectFromYAML(n *Node, y *yaml.Node, depth int) error {
	n.Kind = Object
	for i := 0; i+1 < len(y.Content); i += 2 {
		name, held := y.Content[i], y.Content[i+1]
		value := n.child(name.Value, name.Line)
		switch {
		case name.Kind == yaml.AliasNode, name.Anchor != "":
			return value.Wrong("anchors and aliases are not taken here: write the name out")
		case name.Kind != yaml.ScalarNode, name.ShortTag() != "!!str":
			return value.Wrong("the name of a member has to be a text")
		}
		if err := fromYAML(value, held, depth+1); err != nil {
			return err
		}
		if err := n.add(name.Value, value); err != nil {
			return err
		}
	}
	return nil
}

func scalarFromYAML(n *Node, y *yaml.Node) error {
	switch y.ShortTag() {
	case "!!str":
		n.Kind, n.Text = Text, y.Value
	case "!!int", "!!float":
		n.Kind, n.Text = Number, y.Value
	case "!!timestamp": // a text that looks like a date
		n.Kind, n.Text = Text, y.Value
	case "!!bool":
		n.Kind, n.True = Bool, strings.EqualFold(y.Value, "true")
	case "!!null":
		n.Kind = Null
	default:
		return n.Wrong("tags are not taken here")
	}
	return nil
}
