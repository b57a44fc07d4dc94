typedef int wire_layer_is_empty;
